"""Say what a ladder showed, as lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields

from benchmarks.simulate import dollars
from benchmarks.simulate.ladder import Rung
from benchmarks.simulate.limits import Limit
from benchmarks.simulate.plan import Plan
from benchmarks.simulate.result import Result
from chalicelib.config import DEFAULTS


def report(rungs: list[Rung]) -> Iterator[str]:
    """Yield the lines of the report."""
    first = rungs[0]
    plan = first.result.plan
    yield f"{plan.orders_per_s:,} orders/s for {plan.minutes} minutes, {set_up(plan)}"
    yield ""
    if first.limit is None:
        yield "no limit is met"
    else:
        yield f"first limit: {described(first.limit, plan)}"
        yield f"  met at second {first.at_s}"
        yield f"  remedy: {first.remedy.text if first.remedy else 'none'}"
    yield from outcome(first.result)
    if len(rungs) > 1:
        yield from _ladder(rungs)
    yield ""
    yield from _dollars(rungs[-1].result.plan)


def _ladder(rungs: list[Rung]) -> Iterator[str]:
    yield ""
    yield "the ladder: each line lifts the limit of the line above"
    for number, rung in enumerate(rungs, 1):
        plan = rung.result.plan
        if rung.limit is None:
            yield f"{number:3}. no limit is met: {plan.orders_per_s:,} orders/s hold"
        else:
            yield f"{number:3}. {described(rung.limit, plan)}, met at second {rung.at_s}"
            yield f"     -> {rung.remedy.text if rung.remedy else _without_remedy(rung.result)}"
    yield from outcome(rungs[-1].result)


def _without_remedy(result: Result) -> str:
    if result.recovered:
        return (
            f"nothing lifts it, but it passes: {result.plan.orders_per_s:,} orders/s hold"
            f" from second {result.last_met + 1} on"
        )
    return "nothing lifts it"


def set_up(plan: Plan) -> str:
    arguments = changes(plan)
    return f"with {arguments}" if arguments else "with the defaults"


def changes(plan: Plan) -> str:
    """Return the arguments that differ from their defaults."""
    changed = [
        f"{each.name.upper()}={getattr(plan, each.name)}"
        for each in fields(Plan)
        if each.name not in ("orders_per_s", "minutes") and getattr(plan, each.name) != each.default
    ]
    return " ".join(changed)


def described(limit: Limit, plan: Plan) -> str:
    number = f"{limit.number(plan):,.0f} {limit.unit}"
    allows = limit.orders_per_s(plan)
    if limit.unit == "at first" or math.isinf(allows):
        return f"{limit.name}: {number}"
    return f"{limit.name}: {number} = {allows:,.0f} orders/s"


def outcome(result: Result) -> Iterator[str]:
    """Yield what became of the backlog."""
    load_s = result.load_s
    yield (
        f"  at most {result.most_waiting:,} orders waited, in the queue up to {result.oldest_s:,} s"
    )
    if result.plan.purged:
        until = result.purged_until
        sent = "not within the simulated time" if until is None else f"after {span(until)}"
        yield f"  lost messages were sent again: {sent}"
    if result.done_at is None:
        yield "  the backlog is never done"
    else:
        late = max(0, result.done_at - load_s)
        about = "about " if result.extrapolated else ""
        yield f"  the backlog is done {about}{span(late)} after the load ends"
    if result.queued_s > DEFAULTS.max_age_s:
        yield f"  orders that wait longer than {span(DEFAULTS.max_age_s)} fail (MAX_AGE_S)"


def span(seconds: float) -> str:
    """Return a time in the unit that fits."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:,.0f} hours"


def _dollars(plan: Plan) -> Iterator[str]:
    parts = dollars.per_million(plan)
    millions = sum(parts.values())
    yield f"dollars per million orders: {millions:,.2f}"
    yield "  " + ", ".join(f"{name} {usd:.2f}" for name, usd in parts.items())
    yield f"  not in it: X-Ray {dollars.traces(plan):.2f}"
    yield f"  DynamoDB provisioned, 70 % of it used: {dollars.provisioned(plan):.2f}"
    yield f"dollars a month at this rate: {dollars.per_month(plan, millions):,.0f}"
    crossing = dollars.crossing(plan)
    per_s = crossing * 1e6 / dollars.SECONDS_PER_MONTH
    yield (
        f"servers of your own for {plan.servers:,} dollars a month cost less above"
        f" {crossing:,.0f} million orders a month, {per_s:,.1f} orders/s all the time"
    )
