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
PAGE = 100  # orders in a page of the list
BILLED_S_OF_PAGE = 0.1  # also assumed


@dataclass(frozen=True)
class BulkFlow:
    """Counts for one of the orders that are placed in one request."""

    write_units: float
    read_units: float
    """Units of a poll of this order alone."""
    listed_read_units: float
    """Units of a page of the list, divided by its orders."""
    sends: float
    """Requests to SQS that send its message; ten messages are in each."""
    log_bytes: float


def dollars(
    flow: BulkFlow, front: str, batch: int = 1, polls: float = 0, listings: float = 0
) -> dict[str, float]:
    """Return the dollars per million orders that are placed by the thousand, by service.

    Args:
        flow: the counts for one of them
        front: rest, http or url
        batch: parameter WorkerBatchSize, of which all batches are full
        polls: requests for each order alone after its placing
        listings: how often the list of all orders is read, in full pages, as `wait_many` does
    """
    requests = polls + 1 / BULK + listings / PAGE
    runs = requests + 1 / batch
    billed_s = BILLED_S_OF_BULK + polls * BILLED_S["poll"] + BILLED_S["worker"]
    billed_s += listings * BILLED_S_OF_PAGE / PAGE
    reads = polls * flow.read_units + listings * flow.listed_read_units
    return {
        "API Gateway": requests * FRONT_PRICES[front],
        "DynamoDB": flow.write_units * PRICES["write_unit"] + reads * PRICES["read_unit"],
        "SQS": (flow.sends + 2 / batch) * PRICES["sqs_request"],  # sent, received, deleted
        "Lambda": runs * PRICES["lambda_request"] + billed_s * MEMORY_GB * PRICES["lambda_gb_s"],
        "Logs": (flow.log_bytes + runs * PLATFORM_LOG_BYTES) / 1e9 * PRICES["log_gb"],
    }


def counted(orders: int = 100) -> BulkFlow:
    """Place this many orders in one request; run and poll one of them, and read a page of all.

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
        before_poll = len(meter.reads)
        order = mocked.cloud.get(placed[-1]["id"])
        assert order["status"] == "SUCCESS"
        before_page = len(meter.reads)
        page = mocked.cloud.http("GET", f"/orders?limit={PAGE}").json["items"]
        return BulkFlow(
            write_units=units_of_bulk / orders + sum(meter.writes) - units_of_bulk,
            read_units=sum(meter.reads[before_poll:before_page]),
            listed_read_units=sum(meter.reads[before_page:]) / len(page),
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
