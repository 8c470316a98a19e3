"""What AWS lets a stack do in each second, and how that grows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from benchmarks.simulate import aws
from benchmarks.simulate.plan import Plan

Needs = Mapping[str, float]
"""What one order takes of each limit, by the limit's name."""


@dataclass
class Bucket:
    """A token bucket: tokens a second, and how many it holds at most."""

    rate: float
    size: float
    level: float = field(init=False)

    def __post_init__(self) -> None:
        self.level = self.size

    def fill(self) -> float:
        """Add a second's tokens and return how many may be taken in this second."""
        self.level = min(self.size, self.level) + self.rate
        return self.level


@dataclass
class Throughput:
    """Units a second of an on-demand table or index: it adapts to double its former peak."""

    units: float
    quota: float
    _peak: float = 0

    def adapt(self, second: int, used: float) -> float:
        """Note what the second before used, and return the units of this one."""
        self._peak = max(self._peak, used)
        if second and second % aws.ADAPT_S == 0:
            self.units = max(self.units, 2 * self._peak)
            self._peak = 0
        return min(self.units, self.quota)


@dataclass
class Environments:
    """Execution environments of a function, which Lambda creates only so fast."""

    running: float = 0
    _new: Bucket = field(
        default_factory=lambda: Bucket(aws.NEW_ENVIRONMENTS_PER_S, aws.NEW_ENVIRONMENTS)
    )

    def most(self) -> float:
        """Return how many there may be in this second."""
        return self.running + self._new.fill()

    def use(self, number: float) -> None:
        """Note how many are used; those that are there stay."""
        created = max(0, number - self.running)
        self._new.level -= created
        self.running += created


@dataclass
class EventSource:
    """The event source mappings of all lanes: how many invocations they make at once."""

    plan: Plan
    _now: float = field(init=False)

    def __post_init__(self) -> None:
        self._now = first_invocations(self.plan)

    def invocations(self) -> float:
        """Return the concurrent invocations of all lanes that the ramp allows."""
        return self._now * self.plan.lanes

    def receives(self) -> float:
        """Return the calls to SQS a second that the pollers make at most."""
        if not self.plan.pollers:
            return math.inf  # AWS states no limit
        return self.invocations() / aws.INVOCATIONS_PER_POLLER * aws.RECEIVES_PER_POLLER

    def most(self) -> float:
        """Return the maximum for which the mappings are set up."""
        return source_limit(self.plan) * self.plan.lanes

    def grow(self) -> None:
        """Add a second's growth, because messages are still there."""
        step = (
            aws.PROVISIONED_INVOCATIONS_PER_MINUTE / 60
            if self.plan.pollers
            else aws.INVOCATIONS_PER_S
        )
        self._now = min(source_limit(self.plan), self._now + step)


def first_invocations(plan: Plan) -> int:
    """Return the concurrent invocations with which the mapping of one lane begins."""
    if plan.pollers:
        return min(plan.pollers, aws.MAX_MINIMUM_POLLERS) * aws.INVOCATIONS_PER_POLLER
    return aws.FIRST_INVOCATIONS


def source_limit(plan: Plan) -> int:
    """Return the concurrent invocations that one lane is set up for."""
    if plan.pollers:
        return min(plan.pollers * aws.INVOCATIONS_PER_POLLER, aws.MAX_PROVISIONED_INVOCATIONS)
    return min(plan.concurrency, aws.MAX_INVOCATIONS)


@dataclass
class Second:
    """What is left of each limit in one second."""

    left: dict[str, float]

    def allow(self, wanted: int, needs: Needs) -> tuple[int, str | None]:
        """Return how many orders fit, and the limit that allows no more, if one does."""
        fitting = {
            name: max(0, int(min(wanted, self.left[name] / need + 1e-9)))
            for name, need in needs.items()
            if need
        }
        name = min(fitting, key=fitting.__getitem__)
        return (wanted, None) if fitting[name] >= wanted else (fitting[name], name)

    def take(self, number: int, needs: Needs) -> None:
        for name, need in needs.items():
            self.left[name] -= number * need
