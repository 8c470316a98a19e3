"""Count what an order costs that is placed with others in one request: docs/fronts.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.costs import (
    BILLED_S,
    FRONT_PRICES,
    MEMORY_GB,
    PLATFORM_LOG_BYTES,
    PRICES,
    Scene,
    scene,
)
from tests.kit.units import Meter

BULK = 1000  # orders in one request
# Billed for each of them. Assumed, not measured on AWS: a PutItem, a tenth of a SendMessageBatch
BILLED_S_OF_BULK = 0.007


@dataclass(frozen=True)
class BulkFlow:
    """Counts for one of the orders that are placed in one request; `read_units` are of a poll."""

    write_units: float
    read_units: float
    sends: float
    """Requests to SQS that send its message; ten messages are in each."""
    log_bytes: float


def dollars(flow: BulkFlow, front: str, batch: int = 1, polls: int = 1) -> dict[str, float]:
    """Return the dollars per million orders that are placed by the thousand, by service.

    Args:
        flow: the counts for one of them
        front: rest, http or url
        batch: parameter WorkerBatchSize, of which all batches are full
        polls: requests for each order after its placing; 0 if a webhook or the list tells its end
    """
    requests = polls + 1 / BULK
    runs = requests + 1 / batch
    billed_s = BILLED_S_OF_BULK + polls * BILLED_S["poll"] + BILLED_S["worker"]
    reads = polls * flow.read_units
    return {
        "API Gateway": requests * FRONT_PRICES[front],
        "DynamoDB": flow.write_units * PRICES["write_unit"] + reads * PRICES["read_unit"],
        "SQS": (flow.sends + 2 / batch) * PRICES["sqs_request"],  # sent, received, deleted
        "Lambda": runs * PRICES["lambda_request"] + billed_s * MEMORY_GB * PRICES["lambda_gb_s"],
        "Logs": (flow.log_bytes + runs * PLATFORM_LOG_BYTES) / 1e9 * PRICES["log_gb"],
    }


def counted(orders: int = 100) -> BulkFlow:
    """Place this many orders in one request; run and poll one of them.

    With BULK ones the counts for one are the same, but on a busy machine the request runs out of
    its time.
    """
    with scene() as mocked:
        mocked.cloud.http("GET", "/tasks")  # the token is read once a minute
        mocked.wire.calls.clear()
        mocked.logged.seek(0)
        mocked.logged.truncate()
        meter = Meter(mocked.cloud, mocked.wire)
        placed = _placed(mocked, orders)
        units_of_bulk = sum(meter.writes)
        log_bytes_of_bulk = len(mocked.logged.getvalue())
        sends = mocked.wire.calls.count("SendMessageBatch")
        assert mocked.wire.calls.count("PutItem") == orders

        mocked.work(_last_body(mocked))
        order = mocked.cloud.get(placed[-1]["id"])
        assert order["status"] == "SUCCESS"
        return BulkFlow(
            write_units=units_of_bulk / orders + sum(meter.writes) - units_of_bulk,
            read_units=sum(meter.reads[:1]),
            sends=sends / orders,
            log_bytes=log_bytes_of_bulk / orders
            + len(mocked.logged.getvalue())
            - log_bytes_of_bulk,
        )


def _placed(mocked: Scene, orders: int) -> list[Mapping[str, Any]]:
    order = {"task": "weigh", "input": {"text": ""}}
    reply = mocked.cloud.http(
        "POST", "/orders/bulk", {"orders": [order] * orders}, {"Idempotency-Key": "bench"}
    )
    assert (reply.status, reply.json["placed"]) == (200, orders)
    items: list[Mapping[str, Any]] = reply.json["items"]
    return items


def _last_body(mocked: Scene) -> str:
    """Return the body of the message that was sent last, in the last batch of ten."""
    batch = next(each for each in reversed(mocked.wire.requests) if "Entries" in each)
    return str(batch["Entries"][-1]["MessageBody"])
