"""A row that cannot be read, or that grows for ever, does not affect any other."""

from __future__ import annotations

import json

import pytest

from chalicelib import config, ids, notify, orders, prerequisites, queue, service
from chalicelib.functions import actions
from chalicelib.orders import Attempt, End, Failure, Order, Progress, Status
from chalicelib.table import retries
from chalicelib.table.items import encode_order
from testkit import Cloud
from tests.kit.units import size

NUGGETS = {"pieces": 1}


def test_the_sweeper_skips_a_row_that_it_cannot_read(cloud: Cloud) -> None:
    garbled, order = (cloud.place("cook_nuggets", NUGGETS)["id"] for _ in range(2))
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.garble(garbled)

    cloud.clock.advance(config.settings().resend_after_s + 1)
    assert cloud.sweep()["resent"] == 1
    cloud.drain()

    assert cloud.get(order)["status"] == "SUCCESS"


def test_a_dead_letter_of_an_unreadable_row_does_not_stop_the_next(cloud: Cloud) -> None:
    garbled, order = (cloud.place("cook_nuggets", NUGGETS)["id"] for _ in range(2))
    for order_id in (garbled, order):
        cloud.bury(order_id)
    cloud.garble(garbled)

    assert cloud.deliver(batch=2, dead=True) == (2, 1)


def test_the_history_is_bounded_when_no_attempt_ever_reports(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    for _ in range(6):
        for _ in range(order["max_attempts"]):
            cloud.claim(order["id"], lease_s=10)
            cloud.clock.advance(11)
        cloud.clock.advance(config.settings().resend_after_s * 2)
        cloud.sweep()
        assert cloud.get(order["id"])["error"]["code"] == "attempts_exhausted"
        assert cloud.http("POST", f"/orders/{order['id']}/retry").status == 202

    assert len(cloud.order(order["id"]).history) == orders.MAX_HISTORY


def test_a_list_leaves_out_and_logs_an_unreadable_row(
    cloud: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    first, garbled, last = (cloud.place("cook_nuggets", NUGGETS)["id"] for _ in range(3))
    cloud.garble(garbled)

    for query in ("", "?status=PENDING", "?limit=2"):
        ids = [item["id"] for item in cloud.http("GET", f"/orders{query}").json["items"]]
        assert first in ids or query == "?limit=2"
        assert last in ids
        assert garbled not in ids
    lines = [
        json.loads(line)
        for line in "".join(capfd.readouterr()).splitlines()
        if "row_unreadable" in line
    ]
    assert {line["order"] for line in lines} == {garbled}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel"), ("POST", "/retry")])
def test_an_unreadable_row_is_answered_with_a_problem(cloud: Cloud, method: str, path: str) -> None:
    order_id = cloud.place("cook_nuggets", NUGGETS)["id"]
    cloud.garble(order_id)

    reply = cloud.http(method, f"/orders/{order_id}{path}")

    assert (reply.status, reply.json["type"]) == (500, "/problems/unreadable-order")
    assert "a newer version wrote it" in reply.json["detail"]


def test_the_largest_possible_row_fits_into_dynamodb(cloud: Cloud) -> None:
    """Leave room for error, history and follow-ups at their limits: no finish is refused."""
    order = Order(
        owner="c" * 40,
        id=ids.new_id(),
        task="t" * 64,
        input="i" * config.MAX_INLINE_BYTES,
        status=Status.SUCCESS,
        result="r" * config.MAX_INLINE_BYTES,
        created_at=cloud.clock(),
        updated_at=cloud.clock(),
        run_at=cloud.clock(),
        round_started_at=cloud.clock(),
        lease_until=cloud.clock(),
        check_at=cloud.clock(),
        check_shard="scheduled#1000",
        expires_at=cloud.clock(),
        max_attempts=29,
        attempts=29,
        retry_round=1000,
        requeue_count=1000,
        fingerprint="f" * 32,
        fence="w" * 16,
        parent=ids.new_id(),
        depth=1000,
        error=Failure("attempts_exhausted", "\U0001f600" * orders.MAX_MESSAGE, 29),
        progress=Progress(100, "\U0001f600" * 100),
        history=tuple(
            Attempt(cloud.clock(), cloud.clock(), "attempts_exhausted") for _ in range(50)
        ),
        follow_ups=tuple(ids.id_of(str(n)) for n in range(actions.MAX_FOLLOW_UPS)),
        after=tuple(ids.id_of(str(n)) for n in range(prerequisites.MAX_AFTER)),
        when="success",
        waits_for=frozenset(ids.id_of(str(n)) for n in range(prerequisites.MAX_AFTER)),
        dependents=frozenset(ids.id_of(str(n)) for n in range(service.MAX_DELIVERIES + 20)),
        notify=tuple(f"{n:040}" for n in range(notify.MAX_NAMES)),
        past_ends=tuple(
            End(1000, "CANCELLED", cloud.clock()) for _ in range(retries.MAX_PAST_ENDS)
        ),
    )
    others = size(encode_order(order)) - 2 * config.MAX_INLINE_BYTES

    assert others <= config.ROW_RESERVE_BYTES
    assert others > config.ROW_RESERVE_BYTES * 0.9, "the reserve is much larger than needed"
