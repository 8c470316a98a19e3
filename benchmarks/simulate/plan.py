"""The arguments of a simulation: what is asked of the stack, and how it is set up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields
from typing import Any

from benchmarks.simulate import aws, order

FRONTS = ("rest", "http", "url")
# Variables of the Makefile, which `make` passes too
_OF_MAKE = {"PYTHON", "VENV"}
_FLAGS = {"no": False, "yes": True}


class PlanMistake(ValueError):
    """An argument that is not valid; the message names it and what it may be."""


def _number(default: int | None, least: int, most: int, meaning: str) -> Any:
    metadata = {"least": least, "most": most, "meaning": meaning}
    return (
        field(metadata=metadata) if default is None else field(default=default, metadata=metadata)
    )


def _choice(default: str, choices: Iterable[str], meaning: str) -> Any:
    return field(default=default, metadata={"choices": tuple(choices), "meaning": meaning})


@dataclass(frozen=True)
class Plan:
    """A load and a stack."""

    orders_per_s: int = _number(None, 1, 1_000_000, "orders that clients place a second")
    minutes: int = _number(30, 1, 1440, "minutes that they do so")
    task_ms: int = _number(100, 0, 900_000, "run time of a task, in ms")
    polls: int = _number(1, 0, 100, "GET requests per order")
    bulk: int = _number(1, 1, 1000, "orders per POST; above 1 they are placed in bulk")
    owners: int = _number(1, 1, 1_000_000, "owners that place as many orders each")
    wait_s: int = _number(0, 0, 25, "seconds that each POST is held by `Prefer: wait`")
    failing: int = _number(0, 0, 100, "percent of the orders that fail at every attempt")
    attempts: int = _number(5, 1, 1000, "max_attempts of their task")
    backoff_s: int = _number(2, 0, 3600, "backoff_s of their task; a wait is half of its limit")
    purged: int = _number(0, 0, 100_000_000, "orders whose messages were lost before")
    front: str = _choice("rest", FRONTS, "parameter Front")
    requests_per_s: int = _number(100, 1, 1_000_000, "parameter RequestsPerSecond")
    list_shards: int = _number(1, 1, 100, "parameter ListShards")
    due_shards: int = _number(4, 1, 256, "parameter DueShards")
    batch: int = _number(1, 1, 10, "parameter WorkerBatchSize")
    concurrency: int = _number(10, 2, aws.MAX_CONCURRENCY, "parameter WorkerConcurrency, of a lane")
    pollers: int = _number(0, 0, 2000, "provisioned pollers of a lane, instead of CONCURRENCY")
    lanes: int = _number(1, 1, 100, "lanes over which the tasks are spread evenly")
    warm: int = _number(
        aws.NEW_TABLE_WRITES, 4000, 1_000_000, "warm write units a second of table and indexes"
    )
    warm_reads: int = _number(
        aws.NEW_TABLE_READS, 12_000, 1_000_000, "warm read units a second of the table"
    )
    table_quota: int = _number(aws.TABLE_QUOTA, 1, 10_000_000, "DynamoDB's quota of a table")
    gateway_quota: int = _number(aws.GATEWAY_QUOTA, 1, 10_000_000, "API Gateway's quota")
    lambda_quota: int = _number(aws.LAMBDA_QUOTA, 10, 1_000_000, "Lambda's concurrency quota")
    age_s: int = _number(60, 1, 86_400, "seconds that an order may wait in the queue")
    servers: int = _number(200, 1, 1_000_000, "dollars a month of servers to compare with")
    lift: str = _choice("yes", _FLAGS, "apply each remedy and look for the next limit")

    @property
    def load_s(self) -> int:
        return 60 * self.minutes

    @property
    def lifts(self) -> bool:
        return _FLAGS[self.lift]

    @property
    def run_ms(self) -> int:
        """Milliseconds that a worker is busy with one attempt."""
        return max(1, self.task_ms + round(1000 * order.WORK_S))

    @property
    def requests_per_order(self) -> float:
        return 1 / self.bulk + self.polls

    @property
    def api_s_per_order(self) -> float:
        """Seconds that the HTTP function is busy for one order."""
        own_s = order.BULK_ORDER_S if self.bulk > 1 else 0
        return (order.POST_S + self.wait_s) / self.bulk + own_s + self.polls * order.POLL_S

    @property
    def burst(self) -> int:
        """Parameter RequestBurst: in this simulation twice RequestsPerSecond, as the defaults."""
        return 2 * self.requests_per_s

    @property
    def attempts_per_order(self) -> float:
        return 1 + self.failing / 100 * (self.attempts - 1)

    @property
    def by_time_partitions(self) -> int:
        return self.owners * self.list_shards

    @property
    def failure_partitions(self) -> int:
        """Partitions of by_due that list one task's failures, as chalicelib/dispatch.py has it."""
        return min(math.ceil(self.due_shards / 4), 8)

    def backoff(self, attempt: int) -> int:
        """Return the seconds between an attempt, counted from 1, and the next: the mean."""
        longest_s: int = min(3600, self.backoff_s * 2 ** min(attempt - 1, 30))
        return longest_s // 2


def parse(arguments: Iterable[str]) -> Plan:
    """Return the plan of arguments such as `ORDERS_PER_S=100`. Raises PlanMistake."""
    known = {each.name.upper(): each for each in fields(Plan)}
    values: dict[str, int | str] = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if name in _OF_MAKE:
            continue
        if not equals or name not in known:
            raise PlanMistake(f"{argument}: must be NAME=VALUE with one of {', '.join(known)}")
        values[known[name].name] = _value(known[name], text)
    if "orders_per_s" not in values:
        raise PlanMistake("ORDERS_PER_S is missing: make simulate ORDERS_PER_S=1000")
    plan = Plan(**values)  # type: ignore[arg-type]
    if plan.warm > plan.table_quota:
        raise PlanMistake(f"WARM={plan.warm}: must be at most TABLE_QUOTA={plan.table_quota}")
    return plan


def _value(of: Field[Any], text: str) -> int | str:
    name = of.name.upper()
    if choices := of.metadata.get("choices"):
        if text not in choices:
            raise PlanMistake(f"{name}={text}: must be one of {', '.join(choices)}")
        return text
    least = of.metadata["least"]
    most = of.metadata["most"]
    if not (text.isascii() and text.isdecimal() and least <= int(text[:12]) <= most):
        raise PlanMistake(f"{name}={text}: must be a whole number from {least} to {most}")
    return int(text)


def usage() -> str:
    """Return a line for each argument: its default and meaning."""
    lines = []
    for each in fields(Plan):
        default = "" if each.name == "orders_per_s" else str(each.default)
        lines.append(f"  {each.name.upper():16}{default:>7}  {each.metadata['meaning']}")
    return "\n".join(lines)
