"""An order's whole way: placed over HTTP, run by the worker and read with its result."""

from __future__ import annotations

from testkit import Cloud


def test_an_order_is_accepted_and_run_and_has_a_result(cloud: Cloud) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 6, "sauce": "curry"})
    assert order["status"] == "PENDING"

    cloud.drain()

    ready = cloud.get(order["id"])
    assert (ready["status"], ready["done"], ready["attempts"]) == ("SUCCESS", True, 1)
    assert ready["result"]["total_cents"] == 300
    assert cloud.messages() == 0
