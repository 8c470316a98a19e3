"""One row that nobody can read, or that grows for ever, harms no other."""

from __future__ import annotations

from chalicelib import config, orders, queue
from tests.kit import Cloud

NUGGETS = {"pieces": 1}


def test_the_sweeper_passes_over_a_row_that_it_can_not_read(cloud: Cloud) -> None:
    garbled, order = (cloud.place("cook_nuggets", NUGGETS)["id"] for _ in range(2))
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.garble(garbled)

    cloud.clock.advance(config.settings().grace_s + 1)
    assert cloud.sweep()["resent"] == 1
    cloud.drain()

    assert cloud.get(order)["status"] == "SUCCESS"


def test_a_dead_letter_of_a_row_that_can_not_be_read_keeps_no_other(cloud: Cloud) -> None:
    garbled, order = (cloud.place("cook_nuggets", NUGGETS)["id"] for _ in range(2))
    for order_id in (garbled, order):
        cloud.bury(order_id)
    cloud.garble(garbled)

    assert cloud.deliver(batch=2, dead=True) == (2, 1)


def test_the_history_is_bounded_though_no_attempt_ever_reports(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", NUGGETS)
    for _ in range(6):
        for _ in range(order["max_attempts"]):
            cloud.claim(order["id"], lease_s=10)
            cloud.clock.advance(11)
        cloud.clock.advance(config.settings().grace_s * 2)
        cloud.sweep()
        assert cloud.get(order["id"])["error"]["code"] == "attempts_exhausted"
        assert cloud.http("POST", f"/orders/{order['id']}/retry").status == 202

    assert len(cloud.order(order["id"]).history) == orders.MAX_HISTORY
