"""What lifts a limit: a parameter of the template, a quota of AWS, more pollers or lanes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.simulate import aws
from benchmarks.simulate.plan import Plan


@dataclass(frozen=True)
class Remedy:
    """A change that lifts a limit."""

    plan: Plan
    text: str


def parameter(field: str, name: str, most: int) -> Callable[[Plan, int], Remedy | None]:
    def remedy(plan: Plan, needed: int) -> Remedy | None:
        if needed > most or needed <= getattr(plan, field):
            return None
        changed = _changed(plan, field, needed)
        return Remedy(changed, f"set the parameter {name} to {needed:,}")

    return remedy


def quota(field: str, name: str) -> Callable[[Plan, int], Remedy | None]:
    def remedy(plan: Plan, needed: int) -> Remedy | None:
        if needed <= getattr(plan, field):
            return None
        return Remedy(_changed(plan, field, needed), f"ask AWS to raise {name} to {needed:,}")

    return remedy


def throughput(field: str, units: str) -> Callable[[Plan, int], Remedy | None]:
    """Return the remedy of a table or index: warm throughput, within the quota."""

    def remedy(plan: Plan, needed: int) -> Remedy | None:
        if needed > plan.table_quota:
            named = "DynamoDB's quota of throughput per table"
            return quota("table_quota", named)(plan, needed)
        if needed <= getattr(plan, field):
            return None
        changed = _changed(plan, field, needed)
        return Remedy(changed, f"set a warm throughput of {needed:,} {units} units in `resources`")

    return remedy


def list_shards(plan: Plan, needed: int) -> Remedy | None:
    shards = math.ceil(needed / aws.PARTITION_WRITES / plan.owners)
    return parameter("list_shards", "ListShards", 100)(plan, shards)


def due_shards(plan: Plan, needed: int) -> Remedy | None:
    shards = math.ceil(needed / aws.PARTITION_WRITES)
    return parameter("due_shards", "DueShards", 256)(plan, shards)


def failure_shards(plan: Plan, needed: int) -> Remedy | None:
    shards = 4 * math.ceil(needed / aws.PARTITION_WRITES)
    remedy = parameter("due_shards", "DueShards", 256)(plan, shards)
    if remedy and remedy.plan.failure_partitions > plan.failure_partitions:
        return remedy
    return None


def more_workers(plan: Plan, needed: int) -> Remedy | None:
    """Raise WorkerConcurrency; above its maximum use provisioned pollers, then more lanes."""
    per_lane = math.ceil(needed / plan.lanes)
    if not plan.pollers and per_lane <= aws.MAX_CONCURRENCY:
        return parameter("concurrency", "WorkerConcurrency", aws.MAX_CONCURRENCY)(plan, per_lane)
    return more_pollers(plan, needed)


def more_pollers(plan: Plan, needed: int) -> Remedy | None:
    per_lane = math.ceil(needed / plan.lanes)
    if per_lane > aws.MAX_PROVISIONED_INVOCATIONS:
        return more_lanes(plan, math.ceil(needed / aws.MAX_PROVISIONED_INVOCATIONS))
    pollers = max(2, math.ceil(per_lane / aws.INVOCATIONS_PER_POLLER))
    if pollers <= plan.pollers:
        return None
    least = min(pollers, aws.MAX_MINIMUM_POLLERS)
    text = f"provision {pollers:,} pollers, at least {least:,} of them, in `resources`"
    return Remedy(replace(plan, pollers=pollers), text)


def more_receives(plan: Plan, needed: int) -> Remedy | None:
    """Receive more messages by one call; with batches of ten provision more pollers."""
    if plan.batch < aws.RECEIVE_BATCH:
        changed = replace(plan, batch=aws.RECEIVE_BATCH)
        return Remedy(changed, f"set the parameter WorkerBatchSize to {aws.RECEIVE_BATCH}")
    invocations = math.ceil(needed / aws.RECEIVES_PER_POLLER) * aws.INVOCATIONS_PER_POLLER
    return more_pollers(plan, invocations)


def more_lanes(plan: Plan, lanes: int) -> Remedy | None:
    if lanes <= plan.lanes:
        return None
    return Remedy(replace(plan, lanes=lanes), f"spread the tasks over {lanes} lanes")


def faster_ramp(plan: Plan, needed: int) -> Remedy | None:
    """Provision pollers; each lane has its own."""
    return more_pollers(plan, needed) or more_lanes(plan, plan.lanes + 1)


def more_queues(plan: Plan, needed: int) -> Remedy | None:
    return more_lanes(plan, math.ceil(needed / aws.IN_FLIGHT))


def nothing(plan: Plan, needed: int) -> Remedy | None:
    return None


def _changed(plan: Plan, field: str, value: int) -> Plan:
    changes: dict[str, Any] = {field: value}
    return replace(plan, **changes)
