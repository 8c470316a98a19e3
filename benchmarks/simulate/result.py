"""Orders that move together, and the result of a simulation."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.simulate.counts import Counts
from benchmarks.simulate.plan import Plan


@dataclass
class Cohort:
    """Orders that wait for the same attempt since the same second."""

    since: int
    attempt: int
    healthy: int
    failing: int

    @property
    def number(self) -> int:
        return self.healthy + self.failing

    def split(self, number: int) -> Cohort:
        """Take up to `number` orders out, with their share of failing ones."""
        number = min(number, self.number)
        failing = self.failing * number // self.number
        self.failing -= failing
        self.healthy -= number - failing
        return Cohort(self.since, self.attempt, number - failing, failing)


@dataclass
class Result:
    """What happened."""

    plan: Plan
    load_s: int
    """Seconds for which clients place orders."""
    counts: Counts
    met: dict[str, int] = field(default_factory=dict)
    """The second in which each limit was met first."""
    last_met: int = -1
    """The last second in which a limit was met; -1: none was."""
    most_waiting: int = 0
    """Orders that clients hold back, or that wait in the queue, at most."""
    most_in_flight: int = 0
    """Messages in flight at most, of all lanes."""
    oldest_s: int = 0
    """Longest wait in the queue."""
    queued_s: float = 0
    """How long the queue alone lasts, if it is not empty at the end of the simulation."""
    purged_until: int | None = None
    """The second in which the last lost message was sent again."""
    done_at: float | None = None
    """The second in which all had ended; None: they never do."""
    extrapolated: bool = False

    @property
    def recovered(self) -> bool:
        """True if the limits that were met had passed before the load ended."""
        in_time = self.done_at is not None and (
            self.done_at <= self.load_s + self.plan.age_s + self.plan.run_ms / 1000
        )
        return in_time and self.last_met < self.load_s - self.plan.age_s
