"""Climb from limit to limit: run the plan, lift the limit that it met first, run it again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.simulate.limits import LIMITS, Limit
from benchmarks.simulate.plan import Plan
from benchmarks.simulate.remedies import Remedy
from benchmarks.simulate.result import Result
from benchmarks.simulate.run import Simulation

MAX_RUNGS = 30


@dataclass(frozen=True)
class Rung:
    """One run on the ladder, and the limit that it met first, if it met any."""

    result: Result
    limit: Limit | None
    at_s: int
    remedy: Remedy | None


def climb(plan: Plan) -> Iterator[Rung]:
    """Run the plan, lift the limit that it meets first, and so on, until it meets none.

    Ends earlier if nothing lifts a limit.
    """
    for _ in range(MAX_RUNGS):
        result = Simulation(plan).run()
        if not result.met:
            yield Rung(result, None, -1, None)
            return
        at_s = min(result.met.values())
        names = [name for name, second in result.met.items() if second == at_s]
        limit = LIMITS[min(names, key=lambda name: LIMITS[name].orders_per_s(plan))]
        remedy = limit.lifted(plan)
        yield Rung(result, limit, at_s, remedy)
        if remedy is None or not plan.lifts:
            return
        plan = remedy.plan
