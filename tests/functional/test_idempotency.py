"""Idempotency-Key: a request that is sent twice places one order."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.tasks import File, task
from testkit import Cloud, Reply
from tests.functional.test_bad_input import problem_of

SIX: dict[str, Any] = {"task": "cook_nuggets", "input": {"pieces": 6, "sauce": "curry"}}


def post(cloud: Cloud, key: str, body: Any = None, token: str | None = None) -> Reply:
    other = {"Authorization": f"Bearer {token}"} if token else {}
    return cloud.http("POST", "/orders", body or SIX, {"Idempotency-Key": key, **other})


def test_the_same_key_and_request_is_one_order_one_message_one_run(cloud: Cloud) -> None:
    first = post(cloud, "k")
    second = post(cloud, "k")

    assert (first.status, second.status) == (202, 202)
    assert first.json == second.json
    assert first.headers["Location"] == second.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert second.headers["Idempotency-Replayed"] == "true"
    assert (len(cloud.rows()), cloud.messages()) == (1, 1)


def test_a_later_repeat_is_answered_with_the_order_as_it_is_now(cloud: Cloud) -> None:
    post(cloud, "k")
    cloud.drain()

    again = post(cloud, "k")

    assert (again.status, again.json["status"]) == (202, "SUCCESS")
    assert cloud.drain().batches == 0


def test_the_order_of_members_does_not_matter(cloud: Cloud) -> None:
    post(cloud, "k")

    again = post(cloud, "k", {"input": {"sauce": "curry", "pieces": 6}, "task": "cook_nuggets"})

    assert again.headers["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("other", [{"pieces": 7, "sauce": "curry"}, {"pieces": 6}])
def test_the_same_key_for_another_request_is_422_and_places_nothing(
    cloud: Cloud, other: dict[str, Any]
) -> None:
    post(cloud, "k")

    reply = post(cloud, "k", {"task": "cook_nuggets", "input": other})

    assert (reply.status, problem_of(reply)["type"]) == (422, "/problems/idempotency-key-reused")
    assert (len(cloud.rows()), cloud.messages()) == (1, 1)
    assert cloud.rows()[0].input == '{"pieces":6,"sauce":"curry"}'


@pytest.mark.parametrize(
    "key",
    ["", '""', " ", "a b", "k\u00e9y", "x" * 256, '"' + "x" * 256 + '"', "tab\t", "\U0001f600"],
)
def test_an_invalid_key_is_400(cloud: Cloud, key: str) -> None:
    reply = post(cloud, key)

    assert (reply.status, problem_of(reply)["type"]) == (400, "/problems/idempotency-key-invalid")
    assert (cloud.rows(), cloud.messages()) == ([], 0)


@pytest.mark.parametrize("key", ["x" * 255, "!", "~", '"', 'a"b'])
def test_every_visible_character_may_be_in_a_key(cloud: Cloud, key: str) -> None:
    assert post(cloud, key).json["id"] == post(cloud, key).json["id"]


def test_a_quoted_key_equals_the_unquoted_one(cloud: Cloud) -> None:
    assert post(cloud, '"k"').json["id"] == post(cloud, "k").json["id"]
    assert len(cloud.rows()) == 1


def test_owners_do_not_share_keys(cloud: Cloud) -> None:
    mine = post(cloud, "k")
    theirs = post(cloud, "k", token=cloud.new_token("other"))

    assert mine.json["id"] != theirs.json["id"]
    assert "Idempotency-Replayed" not in theirs.headers


def test_without_a_key_every_request_places_an_order(cloud: Cloud) -> None:
    assert len({cloud.place("cook_nuggets", {"pieces": 6})["id"] for _ in range(3)}) == 3
    assert cloud.messages() == 3


def test_a_key_is_free_again_once_its_order_has_expired(cloud: Cloud) -> None:
    first = post(cloud, "k")
    cloud.drain()

    cloud.clock.advance(7 * 86400 + 1)
    again = post(cloud, "k", {"task": "cook_nuggets", "input": {"pieces": 7}})

    assert again.status == 202
    assert "Idempotency-Replayed" not in again.headers
    assert again.json["id"] == first.json["id"]
    assert (again.json["status"], again.json["attempts"], again.json["result"]) == (
        "PENDING",
        0,
        None,
    )
    cloud.drain()
    assert cloud.get(again.json["id"])["result"]["pieces"] == 7


def test_a_key_is_used_as_long_as_its_order_is_not_final(cloud: Cloud) -> None:
    post(cloud, "k")
    cloud.clock.advance(30 * 86400)

    assert post(cloud, "k").headers["Idempotency-Replayed"] == "true"


def test_a_replay_is_answered_even_if_its_file_is_gone(cloud: Cloud) -> None:
    @task
    def size(image: File) -> int:
        return len(image.read())

    file_id = cloud.upload(b"photo", "image/jpeg")
    body = {"task": "size", "input": {"image": {"file": file_id}}}
    first = post(cloud, "k", body)
    cloud.drain()

    cloud.clock.advance(1.1 * 86400)  # an order of now would outlive the file
    late = post(cloud, "k", body)
    cloud.s3.delete_object(Bucket="orderline-dev-files", Key=f"kit/{file_id}")
    later = post(cloud, "k", body)
    other = post(cloud, "other", body)

    for replay in (late, later):
        assert replay.status == 202
        assert replay.json["id"] == first.json["id"]
        assert replay.headers["Idempotency-Replayed"] == "true"
    assert (other.status, problem_of(other)["type"]) == (422, "/problems/file-missing")
    assert (len(cloud.rows()), cloud.messages()) == (1, 0)


def test_the_same_key_with_another_run_at_is_422(cloud: Cloud) -> None:
    post(cloud, "k", {**SIX, "run_at": "2099-01-01T00:00:00Z"})

    reply = post(cloud, "k", {**SIX, "run_at": "2099-01-02T00:00:00Z"})

    assert (reply.status, problem_of(reply)["type"]) == (422, "/problems/idempotency-key-reused")
