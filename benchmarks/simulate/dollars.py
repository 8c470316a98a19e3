"""What a plan's orders cost on AWS. Prices: benchmarks/costs.py."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.costs import FRONT_PRICES, MEMORY_GB, PLATFORM_LOG_BYTES, PRICES
from benchmarks.simulate import aws, order
from benchmarks.simulate.plan import Plan

SECONDS_PER_MONTH = 30 * 86_400
# Provisioned write and read units, dollars an hour: https://aws.amazon.com/dynamodb/pricing/provisioned/
WRITE_UNIT_HOUR = 0.00065
READ_UNIT_HOUR = 0.00013
PROVISIONED_USE = 0.7  # autoscaling's usual target
# Active tracing samples 5 % of the requests; dollars for a million traces:
# https://docs.aws.amazon.com/lambda/latest/dg/services-xray.html
# https://aws.amazon.com/xray/pricing/
TRACED = 0.05
TRACES_PRICE = 5.00


@dataclass(frozen=True)
class Use:
    """What one order uses, on average."""

    write_units: float
    read_units: float
    requests: float
    runs: float
    """Runs of the worker."""
    billed_s: float
    sqs_requests: float
    log_bytes: float


def use(plan: Plan) -> Use:
    """Return what one order uses from its POST to its last poll."""
    attempts = plan.attempts_per_order
    failing = plan.failing / 100
    backoffs = [plan.backoff(attempt) for attempt in range(1, plan.attempts)]
    resends = failing * sum(backoff > 60 for backoff in backoffs)
    hides = failing * len(backoffs) - resends
    runs = attempts / plan.batch
    work_s = plan.run_ms / 1000 * attempts
    writes = (
        order.INSERT.total
        + order.CLAIM.total * attempts
        + order.SUCCEED.total * (1 - failing)
        + order.FAIL.total * failing
        + order.PUT_BACK.total * (attempts - 1)
        + order.RESEND.total * resends
    )
    sends = -(-plan.bulk // aws.SEND_BATCH) / plan.bulk if plan.bulk > 1 else 1
    deletes = (1 + resends) / plan.batch
    lines = order.LOG_BYTES["POST"] + order.LOG_BYTES["worker"] * attempts
    return Use(
        write_units=writes,
        read_units=plan.polls * order.POLL_READS + resends * order.RESEND_READS,
        requests=plan.requests_per_order,
        runs=runs,
        billed_s=plan.api_s_per_order + work_s,
        sqs_requests=sends + resends / aws.SEND_BATCH + runs + deletes + hides,
        log_bytes=lines + (plan.requests_per_order + runs) * PLATFORM_LOG_BYTES,
    )


def per_million(plan: Plan) -> dict[str, float]:
    """Return the dollars per million orders, by service."""
    each = use(plan)
    return {
        "HTTP": each.requests * FRONT_PRICES[plan.front],
        "DynamoDB": each.write_units * PRICES["write_unit"] + each.read_units * PRICES["read_unit"],
        "SQS": each.sqs_requests * PRICES["sqs_request"],
        "Lambda": (each.requests + each.runs) * PRICES["lambda_request"]
        + each.billed_s * MEMORY_GB * PRICES["lambda_gb_s"],
        "Logs": each.log_bytes / 1e9 * PRICES["log_gb"],
    }


def per_month(plan: Plan, millions: float) -> float:
    """Return what this plan's rate costs in a month of 30 days."""
    return millions * plan.orders_per_s * SECONDS_PER_MONTH / 1e6


def provisioned(plan: Plan) -> float:
    """Return DynamoDB's dollars per million orders with provisioned units, of which 70 % are used.

    That is a price for a load that never stops.
    """
    each = use(plan)
    hourly = each.write_units * WRITE_UNIT_HOUR + each.read_units * READ_UNIT_HOUR
    return hourly / 3600 / PROVISIONED_USE * 1e6


def traces(plan: Plan) -> float:
    """Return X-Ray's dollars per million orders, which the sum leaves out."""
    each = use(plan)
    return (each.requests + each.runs) * TRACED * TRACES_PRICE


def crossing(plan: Plan) -> float:
    """Return the millions of orders a month above which servers at this price cost less."""
    return plan.servers / sum(per_million(plan).values())
