"""Webhooks of orders: each end is told once to each endpoint, and only ends that have come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib import config, ending, notify, service
from chalicelib.clock import SECOND
from chalicelib.tasks import TOGETHER, Context, task
from chalicelib.webhooks import endpoints, rounds, signing
from chalicelib.webhooks.endpoints import Endpoint, Registry, SigningSecret
from chalicelib.webhooks.rounds import DELIVER
from testkit import Cloud
from testkit.cloud import running
from testkit.wire import Killed, Wire
from tests.kit.receiver import Receiver, shop, status
from tests.kit.units import Meter

COST = (10, 1, 1)  # write units, read units and messages of a webhook, beside its order's


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Run a cloud in which webhooks are on."""
    monkeypatch.setenv("LANES", json.dumps({config.WEBHOOKS_LANE: 20}))
    endpoints.forget()
    with running() as cloud:
        yield cloud


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Run the receiver of https://shop.example/hooks."""
    with shop(tmp_path) as receiver:
        yield receiver


@pytest.fixture(autouse=True)
def tasks() -> None:
    @task
    def cook(pieces: int = 1) -> int:
        return pieces

    @task(max_attempts=1)
    def unsteady(order: Context) -> int:
        if order.key.endswith(".0"):
            raise RuntimeError("the first round")
        return 1


def register(cloud: Cloud, name: str = "main", all: bool = False) -> Endpoint:
    secret = SigningSecret(signing.new_secret())
    endpoint = Endpoint("kit", name, "https://shop.example/hooks", (secret,), all)
    Registry(cloud.dynamodb, config.settings().tokens_table).store(endpoint)
    endpoints.forget()
    return endpoint


def replace_secret(endpoint: Endpoint) -> Endpoint:
    return Endpoint("kit", endpoint.name, endpoint.url, (SigningSecret(signing.new_secret()),))


def post(cloud: Cloud, task: str, key: str = "", **members: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return cloud.http("POST", "/orders", {"task": task, "input": {}, **members}, headers)


def place(cloud: Cloud, task: str, **members: Any) -> Any:
    reply = post(cloud, task, notify=["main"], **members)
    assert reply.status == 202, reply.body
    return reply.json


def told(receiver: Receiver) -> list[tuple[str, str, int]]:
    """Return the type, the order and the round of each event that arrived."""
    events = [json.loads(request.body) for request in receiver.requests]
    return [(e["type"], e["data"]["id"], e["data"]["retry_round"]) for e in events]


def ids(receiver: Receiver) -> list[str]:
    return [request.headers["webhook-id"] for request in receiver.requests]


def deliveries(cloud: Cloud) -> list[Any]:
    reply = cloud.http("GET", f"/orders?task={DELIVER}")
    items: list[Any] = reply.json["items"]
    return items


def work(cloud: Cloud, rounds: int = 1) -> None:
    for _ in range(rounds):
        cloud.drain()
        cloud.clock.advance(3600)
        cloud.sweep()


def test_an_endpoint_hears_of_the_end_of_an_order(cloud: Cloud, receiver: Receiver) -> None:
    register(cloud)
    order = place(cloud, "cook")
    assert receiver.requests == []
    cloud.drain()

    assert told(receiver) == [("order.succeeded", order["id"], 0)]
    (delivery,) = deliveries(cloud)
    assert ids(receiver) == [delivery["id"]]
    assert (delivery["status"], delivery["lane"]) == ("SUCCESS", config.WEBHOOKS_LANE)
    shown = cloud.get(order["id"])
    assert [url[-26:] for url in shown["links"]["dependents"]] == [delivery["id"]]
    event = json.loads(receiver.requests[0].body)
    assert event["timestamp"] == shown["updated_at"]
    assert event["data"]["links"] == {"self": f"/orders/{order['id']}"}
    assert cloud.messages() == cloud.messages(lane=config.WEBHOOKS_LANE) == 0


def test_failures_and_cancellations_are_told_too(cloud: Cloud, receiver: Receiver) -> None:
    register(cloud)
    failed = place(cloud, "unsteady")
    cancelled = place(cloud, "cook")
    cloud.http("POST", f"/orders/{cancelled['id']}/cancel")
    cloud.drain()

    assert sorted(told(receiver)) == sorted(
        [("order.failed", failed["id"], 0), ("order.cancelled", cancelled["id"], 0)]
    )


def test_an_endpoint_for_all_hears_of_follow_ups_and_never_of_deliveries(
    cloud: Cloud, receiver: Receiver
) -> None:
    @task
    def menu(order: Context) -> None:
        order.place("cook")

    register(cloud, all=True)
    order = cloud.place("menu")
    joined = post(cloud, TOGETHER, after=[order["id"]])
    cloud.drain()
    cloud.drain()

    assert joined.status == 202
    assert len(told(receiver)) == len(deliveries(cloud)) == 2


def test_a_repeated_attempt_places_no_second_delivery(cloud: Cloud, receiver: Receiver) -> None:
    @task(backoff_s=0.1)
    def menu(order: Context) -> None:
        order.place("cook")
        if order.attempt == 1:
            raise RuntimeError("once")

    register(cloud, all=True)
    cloud.place("menu")
    work(cloud, 2)

    assert [status for status, *_ in told(receiver)] == ["order.succeeded"] * 2
    assert len(deliveries(cloud)) == 2


def test_each_round_is_told_by_a_delivery_of_its_own(cloud: Cloud, receiver: Receiver) -> None:
    register(cloud)
    order = place(cloud, "unsteady")
    cloud.drain()
    cloud.http("POST", f"/orders/{order['id']}/retry")
    cloud.drain()

    assert told(receiver) == [
        ("order.failed", order["id"], 0),
        ("order.succeeded", order["id"], 1),
    ]
    assert len(set(ids(receiver))) == 2


def test_a_late_delivery_tells_the_end_of_its_own_round(
    cloud: Cloud, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(cloud)
    order = place(cloud, "unsteady")
    with monkeypatch.context() as patch:
        patch.setattr(ending, "wake", lambda *_: None)  # the worker dies before it
        cloud.drain()
    ended_at = cloud.get(order["id"])["updated_at"]
    cloud.http("POST", f"/orders/{order['id']}/retry")
    cloud.drain()

    assert sorted(told(receiver), key=lambda each: each[2]) == [
        ("order.failed", order["id"], 0),
        ("order.succeeded", order["id"], 1),
    ]
    events = [json.loads(request.body) for request in receiver.requests]
    assert next(e for e in events if e["data"]["retry_round"] == 0)["timestamp"] == ended_at


def test_a_repeated_request_tells_once(cloud: Cloud, receiver: Receiver) -> None:
    register(cloud)
    first = place(cloud, "cook", key="k")
    assert place(cloud, "cook", key="k")["id"] == first["id"]
    cloud.drain()

    assert len(told(receiver)) == len(deliveries(cloud)) == 1


def test_a_repeated_request_is_answered_though_its_endpoint_is_gone(
    cloud: Cloud, receiver: Receiver
) -> None:
    endpoint = register(cloud)
    first = place(cloud, "cook", key="k")
    Registry(cloud.dynamodb, config.settings().tokens_table).remove(endpoint)
    endpoints.forget()

    assert place(cloud, "cook", key="k")["id"] == first["id"]


def test_of_two_requests_at_once_one_delivery_is_sent(
    cloud: Cloud, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(cloud)
    with monkeypatch.context() as patch:
        patch.setattr(service, "_accepted_before", lambda *_: None)  # both have read before
        first = place(cloud, "cook", key="k")
        assert place(cloud, "cook", key="k")["id"] == first["id"]
    cloud.drain()

    assert len(told(receiver)) == 1
    assert sorted(each["status"] for each in deliveries(cloud)) == ["CANCELLED", "SUCCESS"]


def test_a_delivery_that_its_order_names_is_not_withdrawn(cloud: Cloud, receiver: Receiver) -> None:
    register(cloud)
    order = place(cloud, "cook")
    row = cloud.order(order["id"])
    named = [cloud.order(id) for id in row.dependents]
    notify.withdraw(named, row)
    cloud.drain()

    assert len(told(receiver)) == 1


def test_a_delivery_whose_end_was_forgotten_does_not_wait_for_ever(
    cloud: Cloud, receiver: Receiver
) -> None:
    register(cloud)
    order = place(cloud, "unsteady")
    delivery = cloud.order(*cloud.order(order["id"]).dependents)
    later = replace(cloud.order(order["id"]), retry_round=1)  # a version before keeps no past_ends

    assert rounds.has_ended(delivery, later)
    assert rounds.end_of(later, 0) is None


def test_an_order_that_was_never_accepted_tells_nobody(
    cloud: Cloud, receiver: Receiver, wire: Wire
) -> None:
    register(cloud)
    place(cloud, "cook")
    wire.calls.clear()
    wire.faults[1] = wire.killed  # the delivery is written, the order is not
    with pytest.raises(Killed):
        place(cloud, "cook")
    wire.reborn()
    wire.faults.clear()
    cloud.drain()
    for _ in range(8):
        cloud.clock.advance(300)
        cloud.sweep()
        cloud.drain()

    assert len(told(receiver)) == 1
    assert sorted(each["status"] for each in deliveries(cloud)) == ["CANCELLED", "SUCCESS"]


def test_a_stray_is_not_delivered_by_a_retry(
    cloud: Cloud, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(cloud)
    place(cloud, "cook", key="k")
    with monkeypatch.context() as patch:
        patch.setattr(service, "_accepted_before", lambda *_: None)
        place(cloud, "cook", key="k")
    cloud.drain()
    stray = next(each for each in deliveries(cloud) if each["status"] == "CANCELLED")
    cloud.http("POST", f"/orders/{stray['id']}/retry")
    for _ in range(8):
        cloud.drain()
        cloud.clock.advance(300)
        cloud.sweep()

    assert len(told(receiver)) == 1
    assert cloud.get(stray["id"])["status"] == "CANCELLED"


def test_what_is_read_again_of_one_owner_leaves_what_is_cached_of_others(
    cloud: Cloud, receiver: Receiver, wire: Wire
) -> None:
    register(cloud)
    endpoints.find("kit", "main")
    post(cloud, "cook", notify=["unknown"])
    endpoints.find_enabled("other", "gone")
    wire.calls.clear()

    assert endpoints.find("kit", "main") is not None
    assert wire.calls == []


def test_a_webhook_costs_as_many_units_as_counted(
    cloud: Cloud, receiver: Receiver, wire: Wire
) -> None:
    register(cloud)
    cloud.http("GET", "/tasks")
    place(cloud, "cook")  # reads the endpoint, which is then cached
    cloud.drain()
    meter = Meter(cloud, wire)
    wire.calls.clear()
    cloud.place("cook")
    cloud.drain()
    alone = sum(meter.writes), sum(meter.reads), wire.calls.count("SendMessage")
    place(cloud, "cook")
    cloud.drain()
    both = sum(meter.writes), sum(meter.reads), wire.calls.count("SendMessage")

    assert tuple(b - 2 * a for a, b in zip(alone, both, strict=True)) == COST


def test_a_delivery_is_attempted_until_it_arrives(cloud: Cloud, receiver: Receiver) -> None:
    receiver.answers = [*(status(500) for _ in range(5)), status(204)]
    register(cloud)
    place(cloud, "cook")
    work(cloud, 8)

    assert len(receiver.requests) == 6
    assert len(set(ids(receiver))) == 1
    (delivery,) = deliveries(cloud)
    assert (delivery["status"], delivery["attempts"]) == ("SUCCESS", 6)
    codes = [each["code"] for each in cloud.get(f"{delivery['id']}?include=history")["history"]]
    assert codes == ["receiver_refused"] * 5 + [None]


def test_a_delivery_that_never_arrives_fails_and_can_be_retried(
    cloud: Cloud, receiver: Receiver
) -> None:
    receiver.answers = [status(301, "Location: https://shop.example/new")]
    register(cloud)
    place(cloud, "cook")
    work(cloud, 14)
    (delivery,) = deliveries(cloud)
    assert (delivery["status"], delivery["attempts"]) == ("FAILED", 12)
    assert delivery["error"]["code"] == "receiver_refused"

    receiver.answers = [status(204)]
    cloud.http("POST", f"/orders/{delivery['id']}/retry")
    cloud.drain()

    assert cloud.get(delivery["id"])["status"] == "SUCCESS"
    assert len(set(ids(receiver))) == 1


def test_gone_ends_a_delivery_and_disables_its_endpoint(cloud: Cloud, receiver: Receiver) -> None:
    receiver.answers = [status(410)]
    register(cloud)
    place(cloud, "cook")
    cloud.drain()

    assert deliveries(cloud)[0]["error"]["code"] == "endpoint_gone"
    refused = post(cloud, "cook", notify=["main"])
    assert (refused.status, refused.json["pointer"]) == (422, "/notify/0")
    assert "disabled" in refused.json["detail"]


def test_a_receiver_may_ask_for_a_pause(cloud: Cloud, receiver: Receiver) -> None:
    receiver.answers = [status(429, "Retry-After: 100"), status(204)]
    register(cloud)
    place(cloud, "cook")
    cloud.drain()
    cloud.sweep()
    cloud.clock.advance(98)
    cloud.drain()
    assert len(receiver.requests) == 1

    cloud.clock.advance(4)
    cloud.drain()
    first, second = (int(each.headers["webhook-timestamp"]) for each in receiver.requests)
    assert second - first >= 100


def test_deliveries_are_listed_only_by_their_task(cloud: Cloud, receiver: Receiver) -> None:
    register(cloud)
    order = place(cloud, "cook")
    cloud.drain()

    assert [each["id"] for each in cloud.http("GET", "/orders").json["items"]] == [order["id"]]
    assert len(deliveries(cloud)) == 1


@pytest.mark.parametrize("names", [["other"], "main", [1], ["x" * 41]])
def test_an_endpoint_that_can_not_be_told_is_refused(cloud: Cloud, names: Any) -> None:
    register(cloud)
    reply = post(cloud, "cook", notify=names)

    assert reply.status == 422
    assert reply.json["pointer"].startswith("/notify")
    assert cloud.rows() == []


def test_a_new_endpoint_is_known_at_once(cloud: Cloud, receiver: Receiver) -> None:
    assert post(cloud, "cook", notify=["main"]).status == 422
    secret = SigningSecret(signing.new_secret())
    endpoint = Endpoint("kit", "main", "https://shop.example/hooks", (secret,))
    Registry(cloud.dynamodb, config.settings().tokens_table).store(endpoint)

    assert post(cloud, "cook", notify=["main"]).status == 202


def test_without_webhooks_an_order_can_not_ask_for_one(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LANES", "")
    reply = post(cloud, "cook", notify=["main"])

    assert (reply.status, reply.json["pointer"]) == (422, "/notify")
    assert "orderline.yaml" in reply.json["detail"]


def test_a_client_can_not_place_a_delivery_or_wait_for_one(
    cloud: Cloud, receiver: Receiver
) -> None:
    register(cloud)
    place(cloud, "cook")
    delivery = deliveries(cloud)[0]["id"]

    assert post(cloud, DELIVER).json["type"] == "/problems/unknown-task"
    assert post(cloud, "cook", after=[delivery]).json["pointer"] == "/after/0"


def test_an_endpoint_that_was_removed_is_not_told(cloud: Cloud, receiver: Receiver) -> None:
    endpoint = register(cloud)
    place(cloud, "cook")
    Registry(cloud.dynamodb, config.settings().tokens_table).remove(endpoint)
    endpoints.forget()
    cloud.drain()

    assert deliveries(cloud)[0]["error"]["code"] == "endpoint_removed"
    assert receiver.requests == []


def test_deliveries_are_tried_again_while_webhooks_are_off(
    cloud: Cloud, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(cloud)
    order = place(cloud, "cook")
    with monkeypatch.context() as deploying:
        deploying.setenv("LANES", "")
        cloud.drain()
        assert cloud.get(order["id"])["status"] == "SUCCESS"
        delivery = cloud.get(cloud.get(order["id"])["links"]["dependents"][0][-26:])
        assert (delivery["status"], delivery["error"]["code"]) == ("PENDING", "webhooks_off")
        assert receiver.requests == []
    work(cloud, 3)

    assert told(receiver) == [("order.succeeded", order["id"], 0)]


def test_an_endpoint_that_is_registered_again_is_told_at_once(
    cloud: Cloud, receiver: Receiver
) -> None:
    receiver.answers = [status(410), status(204)]
    endpoint = register(cloud)
    place(cloud, "cook")
    cloud.drain()
    second = cloud.http("POST", "/orders", {"task": "cook", "notify": ["main"]})
    assert second.status == 422
    registry = Registry(cloud.dynamodb, config.settings().tokens_table)
    registry.remove(endpoint)
    registry.store(replace_secret(endpoint))
    place(cloud, "cook")
    cloud.drain()

    assert len(receiver.requests) == 2
    assert sorted(each["status"] for each in deliveries(cloud)) == ["FAILED", "SUCCESS"]


def test_retry_does_not_fail_for_an_endpoint_that_is_gone(cloud: Cloud, receiver: Receiver) -> None:
    endpoint = register(cloud)
    order = place(cloud, "unsteady")
    cloud.drain()
    Registry(cloud.dynamodb, config.settings().tokens_table).remove(endpoint)
    endpoints.forget()

    assert cloud.http("POST", f"/orders/{order['id']}/retry").status == 202
    cloud.drain()
    assert cloud.get(order["id"])["status"] == "SUCCESS"
    assert len(receiver.requests) == 1


def test_only_the_last_ends_of_many_rounds_are_kept(cloud: Cloud, receiver: Receiver) -> None:
    @task(max_attempts=1)
    def never() -> None:
        raise RuntimeError("again")

    register(cloud)
    order = place(cloud, "never")
    for _ in range(25):
        cloud.drain()
        cloud.http("POST", f"/orders/{order['id']}/retry")
    row = cloud.order(order["id"])

    assert [end.round for end in row.past_ends or ()] == list(range(5, 25))
    assert all(end.at < cloud.clock() + SECOND for end in row.past_ends or ())
    assert len(set(ids(receiver))) == 25
