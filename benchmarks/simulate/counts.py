"""Count what orders use."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from benchmarks.simulate.order import Writes


@dataclass
class Counts:
    """Totals of a simulation, as a bill would have them."""

    writes: Counter[str] = field(default_factory=Counter)
    """Write units by part: table, by_time, by_due, failures."""
    reads: float = 0
    """Read units."""
    calls: Counter[str] = field(default_factory=Counter)
    """Calls that our code makes, by operation."""
    requests: int = 0
    """HTTP requests."""
    invocations: int = 0
    """Runs of the worker."""
    accepted: int = 0
    succeeded: int = 0
    failed: int = 0

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed

    def write(self, operation: str, number: int, writes: Writes) -> None:
        """Count a write to DynamoDB of each of `number` orders."""
        self.call(operation, number)
        for part, units in vars(writes).items():
            if number and units:
                self.writes[part] += number * units

    def call(self, operation: str, number: int) -> None:
        if number:
            self.calls[operation] += number
