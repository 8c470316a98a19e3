"""The limits: what each is, what an order takes of it, and what lifts it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.simulate import aws, order, remedies
from benchmarks.simulate.capacity import first_invocations, source_limit
from benchmarks.simulate.needs import SCHEDULED_S, admit_needs, start_needs
from benchmarks.simulate.plan import Plan
from benchmarks.simulate.remedies import Remedy

HEADROOM = 1.25  # a remedy sets a quarter more than is needed


@dataclass(frozen=True)
class Limit:
    """A limit of AWS's or of our own."""

    name: str
    number: Callable[[Plan], float]
    """Its value, in `unit`."""
    unit: str
    per_order: Callable[[Plan], float]
    """What one order takes of it, in the same unit."""
    remedy: Callable[[Plan, int], Remedy | None]
    """What lifts it to the given number; None: nothing does."""

    def orders_per_s(self, plan: Plan) -> float:
        """Return the orders a second that it allows for ever."""
        need = self.per_order(plan)
        return self.number(plan) / need if need else math.inf

    def lifted(self, plan: Plan) -> Remedy | None:
        """Return what lifts it for the plan's rate or, if it allows that rate, by a quarter."""
        needed = math.ceil(HEADROOM * plan.orders_per_s * self.per_order(plan) - 1e-9)
        remedy = self.remedy(plan, needed)
        if remedy is None and math.isfinite(self.number(plan)):
            remedy = self.remedy(plan, math.ceil(HEADROOM * self.number(plan)))
        return remedy


def _worker(need: str) -> Callable[[Plan], float]:
    return lambda plan: start_needs(plan)[need] * plan.attempts_per_order


def _admission(need: str) -> Callable[[Plan], float]:
    return lambda plan: admit_needs(plan).get(need, 0)


def _both(need: str) -> Callable[[Plan], float]:
    """Return what an order takes while it is placed, and in all its attempts."""
    return lambda plan: _admission(need)(plan) + _worker(need)(plan)


def _workers(plan: Plan) -> float:
    """Return the seconds that workers are busy for one order."""
    return plan.run_ms / 1000 * plan.attempts_per_order


def _seconds_in_flight(plan: Plan) -> float:
    """Return the seconds that the message of an order is in flight, hidden or with a worker."""
    backoffs = (plan.backoff(attempt) for attempt in range(1, plan.attempts))
    hidden = sum(backoff for backoff in backoffs if backoff <= 60)
    return _workers(plan) + plan.failing / 100 * hidden


def _resends(plan: Plan) -> float:
    """Return how often the sweeper sends a message of one order: after each long backoff."""
    backoffs = (plan.backoff(attempt) for attempt in range(1, plan.attempts))
    return plan.failing / 100 * sum(backoff > 60 for backoff in backoffs)


def _receives(plan: Plan) -> float:
    return plan.pollers * plan.lanes * aws.RECEIVES_PER_POLLER if plan.pollers else math.inf


def _warm(plan: Plan) -> float:
    return min(plan.warm, plan.table_quota)


_ENVIRONMENTS = f"{aws.NEW_ENVIRONMENTS:,} in ten seconds"
LIMITS = {
    "stage": Limit(
        "RequestsPerSecond",
        lambda plan: plan.requests_per_s,
        "requests/s",
        _admission("stage"),
        remedies.parameter("requests_per_s", "RequestsPerSecond", 1_000_000),
    ),
    "gateway": Limit(
        "API Gateway, quota of the account",
        lambda plan: plan.gateway_quota,
        "requests/s",
        _admission("gateway"),
        remedies.quota("gateway_quota", "API Gateway's throttle quota (Front=url has none)"),
    ),
    "invocations": Limit(
        "Lambda, requests per second of the account",
        lambda plan: plan.lambda_quota * aws.REQUESTS_PER_EXECUTION,
        "requests/s",
        _both("invocations"),
        lambda plan, needed: remedies.quota("lambda_quota", "Lambda's concurrency quota")(
            plan, math.ceil(needed / aws.REQUESTS_PER_EXECUTION)
        ),
    ),
    "executions": Limit(
        "Lambda, concurrent executions of the account",
        lambda plan: plan.lambda_quota,
        "at once",
        lambda plan: plan.api_s_per_order + _workers(plan),
        remedies.quota("lambda_quota", "Lambda's concurrency quota"),
    ),
    "api_environments": Limit(
        f"Lambda, new environments of the HTTP function ({_ENVIRONMENTS})",
        lambda _: aws.NEW_ENVIRONMENTS,
        "at first",
        _admission("api_environments"),
        remedies.nothing,
    ),
    "worker_environments": Limit(
        f"Lambda, new environments of the worker ({_ENVIRONMENTS})",
        lambda _: aws.NEW_ENVIRONMENTS,
        "at first",
        _workers,
        remedies.nothing,
    ),
    "table": Limit(
        "DynamoDB, write throughput of the table",
        _warm,
        "units/s",
        _both("table"),
        remedies.throughput("warm", "write"),
    ),
    "by_time": Limit(
        "DynamoDB, write throughput of the index by_time",
        _warm,
        "units/s",
        _admission("by_time"),
        remedies.throughput("warm", "write"),
    ),
    "by_due": Limit(
        "DynamoDB, write throughput of the index by_due",
        _warm,
        "units/s",
        _both("by_due"),
        remedies.throughput("warm", "write"),
    ),
    "reads": Limit(
        "DynamoDB, read throughput of the table",
        lambda plan: min(plan.warm_reads, plan.table_quota),
        "units/s",
        _admission("reads"),
        remedies.throughput("warm_reads", "read"),
    ),
    "time_partitions": Limit(
        "partitions of by_time (owners x ListShards)",
        lambda plan: plan.by_time_partitions * aws.PARTITION_WRITES,
        "units/s",
        _admission("time_partitions"),
        remedies.list_shards,
    ),
    "due_partitions": Limit(
        "partitions of by_due (DueShards)",
        lambda plan: plan.due_shards * aws.PARTITION_WRITES,
        "units/s",
        _both("due_partitions"),
        remedies.due_shards,
    ),
    "failure_partitions": Limit(
        "partitions of a task's failures (a quarter of DueShards, at most 8)",
        lambda plan: plan.failure_partitions * aws.PARTITION_WRITES,
        "units/s",
        _worker("failure_partitions"),
        remedies.failure_shards,
    ),
    "concurrency": Limit(
        "workers (WorkerConcurrency, or provisioned pollers)",
        lambda plan: source_limit(plan) * plan.lanes,
        "at once",
        _workers,
        remedies.more_workers,
    ),
    "ramp": Limit(
        "SQS event source mapping, its ramp",
        lambda plan: first_invocations(plan) * plan.lanes,
        "at first",
        _workers,
        remedies.faster_ramp,
    ),
    "receives": Limit(
        "provisioned pollers, their calls to SQS",
        _receives,
        "calls/s",
        _worker("receives"),
        remedies.more_receives,
    ),
    "in_flight": Limit(
        "SQS, messages in flight of a queue",
        lambda plan: plan.lanes * aws.IN_FLIGHT,
        "messages",
        _seconds_in_flight,
        remedies.more_queues,
    ),
    "sweeper": Limit(
        "the sweeper, messages after long backoffs",
        lambda _: SCHEDULED_S / order.sweep_s(),
        "messages/s",
        _resends,
        remedies.nothing,
    ),
}
