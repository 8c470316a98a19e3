"""Polling: Retry-After, ETag and 304, `Prefer: wait`. The kit has the clock: no test sleeps."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest

from chalicelib import config
from chalicelib.orders import Order
from chalicelib.tasks import task
from chalicelib.web import wait
from testkit import Cloud, Reply


@pytest.fixture(autouse=True)
def _quick() -> None:
    @task
    def quick(word: str = "done") -> str:
        return word


def _place(cloud: Cloud, headers: dict[str, str] | None = None, **members: Any) -> Reply:
    return cloud.http("POST", "/orders", {"task": "quick", **members}, headers)


def _show(cloud: Cloud, order_id: str, query: str = "", **headers: str) -> Reply:
    return cloud.http(
        "GET",
        f"/orders/{order_id}{query}",
        headers={n.replace("_", "-"): v for n, v in headers.items()},
    )


def test_polling_by_retry_after_sees_the_end_of_a_10_s_order_within_6_requests(
    cloud: Cloud,
) -> None:
    reply = _place(cloud)
    requests = 1
    order_id = reply.json["id"]
    began = cloud.clock()
    cloud.clock.after(10, cloud.drain)
    while not reply.json["done"]:
        cloud.clock.sleep(int(reply.headers["Retry-After"]))
        reply = _show(cloud, order_id)
        requests += 1

    assert requests <= 6
    assert cloud.clock() - began < 20_000_000, "at most as late again as the order was long"
    assert "Retry-After" not in reply.headers


def test_waiting_sees_the_end_of_a_10_s_order_with_one_request(cloud: Cloud) -> None:
    cloud.clock.after(10, cloud.drain)

    reply = _place(cloud, {"Prefer": "respond-async, wait=20"})

    assert (reply.status, reply.json["status"], reply.headers["Preference-Applied"]) == (
        200,
        "SUCCESS",
        "wait=20",
    )
    assert reply.json["result"] == "done"
    assert "Location" in reply.headers


@pytest.mark.parametrize(
    ("takes_s", "late_s"), [(0.05, 0.06), (0.3, 0.15), (0.9, 0.15), (5.2, 0.35)]
)
def test_waiting_ends_soon_after_the_order(cloud: Cloud, takes_s: float, late_s: float) -> None:
    began = cloud.clock()
    cloud.clock.after(takes_s, cloud.drain)

    assert _place(cloud, {"Prefer": "wait=20"}).status == 200
    assert cloud.clock() - began < (takes_s + late_s) * 1_000_000


def test_an_order_that_does_not_end_in_time_is_answered_as_it_is(cloud: Cloud) -> None:
    began = cloud.clock()

    accepted = _place(cloud, {"Prefer": "wait=600"})
    reply = _show(cloud, accepted.json["id"], Prefer="wait=3")

    assert accepted.status == 202
    assert accepted.headers["Preference-Applied"] == "wait=20", "capped by MAX_WAIT_S"
    assert (reply.status, reply.json["status"]) == (200, "PENDING")
    assert reply.headers["Preference-Applied"] == "wait=3"
    assert 23 < (cloud.clock() - began) / 1e6 < 23.1


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_waiting_request_reads_at_most_four_times_a_second(cloud: Cloud, method: str) -> None:
    order_id = _place(cloud).json["id"]
    cloud.clock.slept.clear()
    reads = [0.0] if method == "GET" else []
    if method == "GET":
        _show(cloud, order_id, Prefer="wait=20")
    else:
        _place(cloud, {"Prefer": "wait=20"})
    for pause in cloud.clock.slept:
        reads.append((reads[-1] if reads else 0.0) + pause)

    assert 39 < len(reads) < 46
    per_second = [sum(second <= read + 1e-3 < second + 1 for read in reads) for second in range(20)]
    assert max(per_second) <= 4


def test_max_wait_0_disables_waiting(cloud: Cloud) -> None:
    with patch.dict("os.environ", MAX_WAIT_S="0"):
        reply = _place(cloud, {"Prefer": "wait=5"})

    assert reply.status == 202
    assert "Preference-Applied" not in reply.headers
    assert cloud.clock.slept == []


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("wait=2", "wait=2"),
        ("WAIT = 2", "wait=2"),
        ('wait="2"; x=y', "wait=2"),
        ("handling=lenient, wait=2", "wait=2"),
        ("wait=2, wait=9", "wait=2"),
        ("wait", None),
        ("wait=-1", None),
        ("wait=1.5", None),
        ("wait=²", None),
        ("wait=0", None),
        ("wait=" + "9" * 5000, "wait=20"),
        ("", None),
        (",,;=", None),
    ],
)
def test_the_forms_of_a_preference_are_read(cloud: Cloud, prefer: str, applied: str | None) -> None:
    cloud.clock.after(0.05, cloud.drain)

    assert _place(cloud, {"Prefer": prefer}).headers.get("Preference-Applied") == applied


def test_a_final_order_is_answered_at_once(cloud: Cloud) -> None:
    order_id = _place(cloud).json["id"]
    cloud.drain()

    assert _show(cloud, order_id, Prefer="wait=20").json["done"]
    assert cloud.clock.slept == []


def test_waiting_with_an_etag_ends_with_the_next_change(cloud: Cloud) -> None:
    tag = _place(cloud).headers["ETag"]
    order_id = cloud.rows()[0].id
    cloud.clock.after(1.2, lambda: cloud.claim(order_id, lease_s=60))

    reply = _show(cloud, order_id, Prefer="wait=20", If_None_Match=tag)
    again = _show(cloud, order_id, Prefer="wait=2", If_None_Match=reply.headers["ETag"])

    assert (reply.status, reply.json["status"]) == (200, "RUNNING")
    assert (again.status, again.body, again.headers["ETag"]) == (304, "", reply.headers["ETag"])
    assert "Retry-After" in again.headers


def test_an_order_that_is_deleted_during_a_wait_is_404(cloud: Cloud) -> None:
    order_id = _place(cloud).json["id"]
    table = config.settings().orders_table
    cloud.clock.after(
        1, lambda: cloud.dynamodb.delete_item(TableName=table, Key={"pk": {"S": f"kit#{order_id}"}})
    )

    assert _show(cloud, order_id, Prefer="wait=20").status == 404


def test_every_write_changes_the_etag(cloud: Cloud) -> None:
    order_id = _place(cloud).json["id"]
    tags = [_show(cloud, order_id).headers["ETag"]]
    for step in (
        lambda: cloud.http("POST", f"/orders/{order_id}/cancel"),
        lambda: cloud.http("POST", f"/orders/{order_id}/retry"),
        lambda: cloud.claim(order_id, lease_s=1),
        lambda: cloud.clock.advance(60),
        cloud.drain,
    ):
        step()
        tags.append(_show(cloud, order_id).headers["ETag"])

    assert len(set(tags)) == 5, "the clock alone changes nothing"
    assert tags[-1] != _show(cloud, order_id, "?include=input").headers["ETag"]
    assert not any(tag.startswith("W/") for tag in tags)


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ("{tag}", 304),
        ("W/{tag}", 304),
        ('"other", {tag}', 304),
        ('"a,b" ,W/{tag},"c"', 304),
        ("*", 304),
        (" * ", 304),
        ('"other"', 200),
        ("", 200),
        ("no quotes", 200),
        ('"unclosed', 200),
    ],
)
def test_the_forms_of_if_none_match_are_read(cloud: Cloud, form: str, status: int) -> None:
    order_id = _place(cloud).json["id"]
    for path in (f"/orders/{order_id}", "/orders"):
        tag = cloud.http("GET", path).headers["ETag"]

        reply = cloud.http("GET", path, headers={"If-None-Match": form.format(tag=tag)})

        assert reply.status == status
        assert (reply.body == "") == (status == 304)
        assert reply.headers["Cache-Control"] == "private, no-cache"


def test_the_etag_of_a_list_changes_with_any_of_its_orders(cloud: Cloud) -> None:
    order_id = _place(cloud).json["id"]
    tags = [cloud.http("GET", "/orders").headers["ETag"]]
    for step in (lambda: cloud.claim(order_id, lease_s=1), lambda: _place(cloud)):
        step()
        tags.append(cloud.http("GET", "/orders").headers["ETag"])

    assert len(set(tags)) == 3


def test_retry_after_is_long_for_a_delayed_order(cloud: Cloud) -> None:
    later = _place(cloud, delay_s=86400)
    soon = _place(cloud, delay_s=3)

    assert [reply.headers["Retry-After"] for reply in (later, soon)] == ["30", "3"]


def test_input_and_history_are_included_on_request(cloud: Cloud) -> None:
    order_id = _place(cloud, input={"word": "ready"}).json["id"]
    cloud.drain()

    plain = _show(cloud, order_id).json
    full = _show(cloud, order_id, "?include=input,history").json

    assert {"input", "history"}.isdisjoint(plain)
    assert full["input"] == {"word": "ready"}
    assert [attempt["code"] for attempt in full["history"]] == [None]
    assert full["history"][0]["started_at"] < full["history"][0]["ended_at"]
    assert _show(cloud, order_id, "?include=secrets").status == 400


def test_an_aws_failure_during_a_wait_still_answers_with_the_order(cloud: Cloud) -> None:
    """Answer with the last state that was read: a 503 would make the client place it again."""
    table = config.settings().orders_table
    cloud.clock.after(0.3, lambda: cloud.dynamodb.delete_table(TableName=table))

    reply = _place(cloud, {"Prefer": "wait=5"})

    assert (reply.status, reply.json["status"]) == (202, "PENDING")


@pytest.mark.parametrize(("read_s", "most_reads"), [(0.5, 10), (1.5, 5), (30, 1)])
def test_slow_reads_are_rarer_and_do_not_prolong_the_wait(
    cloud: Cloud, read_s: float, most_reads: int
) -> None:
    order = cloud.order(_place(cloud).json["id"])
    reads = list[int]()

    def slow_read() -> Order:
        cloud.clock.sleep(read_s)
        reads.append(cloud.clock())
        return order

    began = cloud.clock()
    assert wait.until(lambda _: False, order, slow_read, 20) is order

    waited_s = (cloud.clock() - began) / 1_000_000
    assert 20 <= waited_s < 20.2 + read_s
    assert len(reads) <= most_reads
