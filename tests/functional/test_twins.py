"""Idempotency-Key with concurrent requests over real sockets to `make run`'s own HTTP server."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator

import pytest

from chalicelib.tasks import task
from testkit import Cloud, Reply
from tests.kit.local import LocalFront, serving

RUNS: list[str] = []


@pytest.fixture
def front(cloud: Cloud) -> Iterator[LocalFront]:
    @task
    def note(word: str) -> str:
        RUNS.append(word)
        return word

    RUNS.clear()
    with serving(cloud) as front:
        yield front


def _post_at_once(front: LocalFront, words: list[str]) -> list[Reply]:
    """Post an order for each word, all with the same key, all at the same moment."""
    replies: list[Reply] = []
    start = threading.Barrier(len(words))

    def post(word: str) -> None:
        body = json.dumps({"task": "note", "input": {"word": word}}).encode()
        start.wait()
        replies.append(front.http("POST", "/orders", body, {"Idempotency-Key": "the-one"}))

    threads = [threading.Thread(target=post, args=(word,)) for word in words]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return replies


def test_fifty_concurrent_requests_with_one_key_place_one_order(
    cloud: Cloud, front: LocalFront
) -> None:
    replies = _post_at_once(front, ["once"] * 50)
    cloud.drain()

    assert Counter(reply.status for reply in replies) == {202: 50}
    assert len({reply.json["id"] for reply in replies}) == 1
    assert sum("Idempotency-Replayed" not in reply.headers for reply in replies) == 1
    assert (RUNS, len(cloud.rows())) == (["once"], 1)


def test_concurrent_requests_with_another_body_are_refused_and_the_first_runs(
    cloud: Cloud, front: LocalFront
) -> None:
    replies = _post_at_once(front, ["yes", "no"] * 25)
    cloud.drain()

    accepted = [reply for reply in replies if reply.status == 202]
    refused = [reply for reply in replies if reply.status == 422]
    assert (len(accepted), len(refused), len({reply.json["id"] for reply in accepted})) == (
        25,
        25,
        1,
    )
    assert {reply.json["type"] for reply in refused} == {"/problems/idempotency-key-reused"}
    assert len(cloud.rows()) == 1
    assert [json.loads(order.input)["word"] for order in cloud.rows()] == RUNS


def test_a_repeat_after_the_end_is_answered_with_the_order_as_it_is(
    cloud: Cloud, front: LocalFront
) -> None:
    first = _post_at_once(front, ["once"])[0]
    cloud.drain()
    again = _post_at_once(front, ["once"])[0]
    cloud.drain()

    assert (again.status, again.json["id"], again.json["status"]) == (
        202,
        first.json["id"],
        "SUCCESS",
    )
    assert again.headers["Idempotency-Replayed"] == "true"
    assert RUNS == ["once"]
