"""The story, whole: an order placed over HTTP is cooked by the worker and found ready."""

from __future__ import annotations

from tests.kit import Cloud


def test_an_order_is_accepted_cooked_and_ready(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6, "sauce": "curry"})
    assert order["status"] == "PENDING"

    cloud.drain()

    ready = cloud.get(order["id"])
    assert (ready["status"], ready["done"], ready["attempts"]) == ("SUCCESS", True, 1)
    assert ready["result"]["total_cents"] == 300
    assert cloud.messages() == 0
