"""Many orders in one request: each is placed on its own, and a repetition places none twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

import app as orderline
from chalicelib import config, ids
from chalicelib.execution.json_depth import MAX_DEPTH
from chalicelib.orders import Status
from chalicelib.tasks import Context, task
from testkit import Cloud, Reply, Wire
from testkit import wire as faults
from testkit.events import LambdaContext
from tests.functional.test_bad_input import problem_of
from tests.functional.test_place import gateway_event

CALLS = ["PutItem", "PutItem", "PutItem", "SendMessageBatch"]  # of three orders
KEY = {"Idempotency-Key": "k"}


def register_note() -> list[int]:
    """Register a task `note`, and return the list of the numbers that it got."""
    runs: list[int] = []

    @task
    def note(n: int) -> None:
        runs.append(n)

    return runs


def notes(number: int) -> list[Any]:
    return [{"task": "note", "input": {"n": n}} for n in range(number)]


def post(cloud: Cloud, orders: Sequence[Any], key: str = "k") -> Reply:
    return cloud.http("POST", "/orders/bulk", {"orders": orders}, {"Idempotency-Key": key})


def bulk(cloud: Cloud, orders: Sequence[Any], key: str = "k") -> Any:
    """Place orders, and return the body; its counts agree with its items."""
    reply = post(cloud, orders, key)
    assert reply.status == 200, reply.body
    body = reply.json
    problems = [item["problem"] for item in body["items"] if "problem" in item]
    unknown = [each for each in problems if each["type"] == "/problems/unavailable"]
    assert len(body["items"]) == len(orders) == sum(counts(body))
    assert counts(body) == (
        len(orders) - len(problems),
        len(problems) - len(unknown),
        len(unknown),
    )
    return body


def counts(body: Any) -> tuple[int, int, int]:
    return body["placed"], body["refused"], body["unknown"]


def replays(body: Any) -> list[bool | None]:
    return [item.get("replayed") for item in body["items"]]


def types(body: Any) -> list[str | None]:
    return [item.get("problem", {}).get("type", "").rpartition("/")[2] for item in body["items"]]


def settled(cloud: Cloud) -> list[str]:
    """Let workers and the sweeper do their work, and return the statuses of all orders."""
    cloud.drain()
    for _ in range(3):
        cloud.clock.advance(1000)
        cloud.sweep()
        cloud.drain()
    return [row.status.value for row in cloud.rows()]


def test_a_bulk_places_each_order_in_the_order_of_the_request(cloud: Cloud) -> None:
    register_note()

    body = bulk(cloud, notes(25))

    assert counts(body) == (25, 0, 0)
    for n, item in enumerate(body["items"]):
        order_id = ids.id_of("kit", "k", "bulk", str(n))  # of a repetition after an upgrade too
        assert item == {"id": order_id, "status": "PENDING", "replayed": False}
        assert json.loads(cloud.order(item["id"]).input) == {"n": n}
    assert settled(cloud) == ["SUCCESS"] * 25


def test_three_orders_take_three_writes_and_one_message(cloud: Cloud, wire: Wire) -> None:
    register_note()
    cloud.http("GET", "/tasks")  # reads the token
    wire.calls.clear()

    bulk(cloud, notes(3))

    assert wire.calls == CALLS


def test_workers_get_ten_orders_while_others_are_still_placed(cloud: Cloud, wire: Wire) -> None:
    register_note()

    bulk(cloud, notes(12))

    assert wire.calls[-4:] == ["SendMessageBatch", "PutItem", "PutItem", "SendMessageBatch"]


def test_a_bulk_that_is_repeated_places_nothing_again(cloud: Cloud) -> None:
    runs = register_note()
    first = bulk(cloud, notes(3))
    cloud.drain()

    again = bulk(cloud, notes(3))

    assert [item["id"] for item in again["items"]] == [item["id"] for item in first["items"]]
    assert [item["status"] for item in again["items"]] == ["SUCCESS"] * 3
    assert (counts(again), replays(again)) == ((3, 0, 0), [True] * 3)
    assert (settled(cloud), sorted(runs)) == (["SUCCESS"] * 3, [0, 1, 2])


def test_another_key_places_other_orders(cloud: Cloud) -> None:
    register_note()
    bulk(cloud, notes(2))

    assert replays(bulk(cloud, notes(2), "other")) == [False, False]
    assert replays(bulk(cloud, notes(2), '"k"')) == [True, True], "quotes do not count"
    assert len(cloud.rows()) == 4


def test_the_key_of_a_bulk_is_not_that_of_a_single_order(cloud: Cloud) -> None:
    register_note()
    cloud.place("note", {"n": 0}, KEY)

    assert replays(bulk(cloud, notes(1))) == [False]


def test_a_changed_order_is_refused_alone(cloud: Cloud) -> None:
    register_note()
    bulk(cloud, notes(3))
    changed = notes(3)
    changed[1]["input"]["n"] = 9

    body = bulk(cloud, changed)

    assert types(body) == ["", "idempotency-key-reused", ""]
    assert replays(body) == [True, None, True]
    assert sorted(json.loads(row.input)["n"] for row in cloud.rows()) == [0, 1, 2]


def test_an_order_that_is_refused_does_not_stop_the_others(cloud: Cloud) -> None:
    register_note()
    mistakes: list[tuple[Any, str, str | None]] = [
        (3, "invalid-order", ""),
        ([], "invalid-order", ""),
        ({"input": {}}, "invalid-order", "/task"),
        ({"task": "note", "x/y": 1}, "invalid-order", "/x~1y"),
        ({"task": "note", "delay_s": -1}, "invalid-order", "/delay_s"),
        ({"task": "note", "run_at": "soon"}, "invalid-order", "/run_at"),
        ({"task": "note", "when": "end"}, "invalid-order", "/when"),
        ({"task": "note", "input": {"n": "x"}}, "invalid-input", "/input/n"),
        ({"task": "none"}, "unknown-task", "/task"),
        ({"task": "note", "input": {"n": 1}, "after": ["0" * 26]}, "invalid-order", "/after/0"),
        ({"task": "note", "input": {"n": 1}, "notify": ["x"]}, "invalid-order", "/notify"),
        ({"task": "note", "input": {"n": 1, "x": "x" * 70_000}}, "invalid-input", "/input/x"),
    ]
    orders = [each for mistake, _, _ in mistakes for each in (mistake, *notes(1))]

    body = bulk(cloud, orders)

    assert counts(body) == (len(mistakes), len(mistakes), 0)
    for n, (mistake, type, pointer) in enumerate(mistakes):
        problem = body["items"][2 * n]["problem"]
        assert problem["type"] == f"/problems/{type}", mistake
        assert problem["pointer"] == f"/orders/{2 * n}{pointer}"
        assert all(problem[member] for member in ("title", "status", "detail", "request_id"))
        assert body["items"][2 * n + 1]["status"] == "PENDING"


def test_an_input_over_its_maximum_is_refused_alone(cloud: Cloud) -> None:
    @task
    def read(text: str) -> None: ...

    longest = config.settings().max_input_bytes
    orders = [{"task": "read", "input": {"text": "x" * size}} for size in (longest, 1)]

    assert types(bulk(cloud, orders)) == ["too-large", ""]


def test_an_order_may_wait_for_others_and_run_later(cloud: Cloud) -> None:
    runs = register_note()
    (first,) = bulk(cloud, notes(1), "first")["items"]
    later = {"task": "note", "input": {"n": 2}, "delay_s": 60}
    after = {"task": "note", "input": {"n": 1}, "after": [first["id"]]}

    body = bulk(cloud, [later, after])

    assert [cloud.get(item["id"])["waits_for"] for item in body["items"]] == [0, 1]
    cloud.drain()
    assert runs == [0, 1]
    cloud.clock.advance(70)
    cloud.drain()
    assert runs == [0, 1, 2]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], "/orders"),
        ({}, "/orders"),
        ({"orders": None}, "/orders"),
        ({"orders": {}}, "/orders"),
        ({"orders": []}, "/orders"),
        ({"orders": [3] * 1001}, "/orders"),
        ({"orders": [3], "key": "k"}, "/key"),
    ],
)
def test_a_body_that_is_not_a_list_of_orders_is_refused(
    cloud: Cloud, body: Any, pointer: str
) -> None:
    problem = problem_of(cloud.http("POST", "/orders/bulk", body, KEY))

    assert (problem["type"], problem["pointer"]) == ("/problems/invalid-order", pointer)


def test_the_longest_bulk_has_1000_orders_and_one_mebibyte(cloud: Cloud) -> None:
    assert counts(bulk(cloud, [3] * 1000)) == (0, 1000, 0)
    text = json.dumps({"orders": [3]}).encode()
    longest = text + b" " * (1_048_576 - len(text))

    assert cloud.http("POST", "/orders/bulk", longest, KEY).status == 200
    problem = problem_of(cloud.http("POST", "/orders/bulk", longest + b" ", KEY))
    assert problem["type"] == "/problems/too-large"
    assert "1048576" in problem["detail"]


@pytest.mark.parametrize(
    ("headers", "type", "detail"),
    [
        ({}, "idempotency-key-invalid", "would place all again"),
        ({"Idempotency-Key": ""}, "idempotency-key-invalid", "1 to 255"),
        ({**KEY, "Content-Type": "text/plain"}, "unsupported-media-type", "text/plain"),
    ],
)
def test_a_bulk_needs_a_key_and_json(
    cloud: Cloud, headers: dict[str, str], type: str, detail: str
) -> None:
    register_note()

    problem = problem_of(cloud.http("POST", "/orders/bulk", {"orders": notes(1)}, headers))

    assert problem["type"] == f"/problems/{type}"
    assert detail in problem["detail"]
    assert cloud.rows() == []


def test_an_order_may_be_nested_as_deep_as_a_single_one(cloud: Cloud) -> None:
    @task
    def dig(hole: Any) -> None: ...

    def order(depth: int) -> Any:
        hole: Any = 0
        for _ in range(depth - 2):
            hole = [hole]
        return {"task": "dig", "input": {"hole": hole}}

    for depth, status in ((MAX_DEPTH, 200), (MAX_DEPTH + 1, 400)):
        single = cloud.http("POST", "/orders", order(depth)).status
        assert single == (202 if status == 200 else status)
        assert post(cloud, [order(depth)]).status == status


def test_a_token_without_the_scope_is_refused(cloud: Cloud) -> None:
    reader = {"Authorization": f"Bearer {cloud.new_token('kit', scopes=['orders:read'])}"}

    for path in ("/orders/bulk", "/orders/cancel"):
        assert cloud.http("POST", path, {"orders": []}, {**KEY, **reader}).status == 403
        assert cloud.http("OPTIONS", path).headers["Allow"] == "POST, OPTIONS"


def test_only_the_first_unknown_task_lists_the_tasks_and_details_are_cut(cloud: Cloud) -> None:
    body = bulk(cloud, [{"task": "x" * 2000}, {"task": "y" * 2000}])
    first, second = [item["problem"] for item in body["items"]]

    assert "cook_nuggets" in first["known"]
    assert "known" not in second
    assert len(first["detail"]) == len(second["detail"]) == 503


def test_the_longest_response_fits_into_that_of_a_function(cloud: Cloud) -> None:
    text = json.dumps({"orders": [{"task": "€" * 340}] * 1000}, ensure_ascii=False)

    reply = cloud.http("POST", "/orders/bulk", text.encode(), KEY)

    assert reply.status == 200
    assert len(reply.body.encode()) < 6_000_000


def test_a_row_that_this_version_cannot_read_is_refused_alone(cloud: Cloud) -> None:
    register_note()
    first = bulk(cloud, notes(3))
    cloud.garble(first["items"][1]["id"])

    assert types(bulk(cloud, notes(3))) == ["", "unreadable-order", ""]


@pytest.mark.parametrize("fault", ["breaks", "loses_answer", "throttles"])
def test_a_bulk_whose_first_write_fails_is_503(cloud: Cloud, wire: Wire, fault: str) -> None:
    register_note()
    getattr(wire, fault)("PutItem")

    reply = post(cloud, notes(3))

    assert (reply.status, problem_of(reply)["type"]) == (503, "/problems/unavailable")
    assert reply.headers["Retry-After"] == "2"
    assert wire.calls.count("PutItem") == faults.ATTEMPTS, "no other order is tried"


@pytest.mark.parametrize("fault", [faults.lost, faults.answer_lost, faults.throttled])
def test_after_a_write_that_fails_no_further_order_is_tried(
    cloud: Cloud, wire: Wire, fault: faults.Fault
) -> None:
    register_note()
    cloud.http("GET", "/tasks")  # reads the token
    second = len(wire.calls) + 1
    wire.faults = dict.fromkeys(range(second, second + faults.ATTEMPTS), fault)

    body = bulk(cloud, notes(4))

    assert types(body) == ["", "unavailable", "unavailable", "unavailable"]
    assert "not tried" in body["items"][3]["problem"]["detail"]
    assert wire.calls[second:] == ["PutItem"] * faults.ATTEMPTS + ["SendMessageBatch"]


@pytest.mark.parametrize("call", range(len(CALLS)))
@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (faults.lost, 1),
        (faults.lost, faults.ATTEMPTS),
        (faults.answer_lost, 1),
        (faults.answer_lost, faults.ATTEMPTS),
        (faults.throttled, faults.ATTEMPTS),
        (faults.server_error, faults.ATTEMPTS),
        (faults.denied, 1),
    ],
)
def test_a_bulk_with_a_fault_that_is_repeated_places_each_order_once(
    cloud: Cloud, wire: Wire, call: int, fault: faults.Fault, times: int
) -> None:
    runs = register_note()
    cloud.http("GET", "/tasks")  # reads the token
    first = len(wire.calls) + call
    wire.faults = dict.fromkeys(range(first, first + times), fault)

    reply = post(cloud, notes(3))
    wire.faults = {}
    again = bulk(cloud, notes(3))

    assert reply.status == (503 if call == 0 and not _hidden(fault, times) else 200)
    if reply.status == 200:
        unknown = 0 if _hidden(fault, times) or call == len(CALLS) - 1 else 3 - call
        assert counts(reply.json) == (3 - unknown, 0, unknown)
    assert counts(again) == (3, 0, 0)
    assert len(cloud.rows()) == 3
    assert settled(cloud) == ["SUCCESS"] * 3
    assert set(runs) == {0, 1, 2}


def _hidden(fault: faults.Fault, times: int) -> bool:
    """Return True if the AWS client's own retries overcome the fault."""
    return times < faults.ATTEMPTS and fault is not faults.denied


@pytest.mark.parametrize("call", range(len(CALLS)))
@pytest.mark.parametrize("after", [False, True])
def test_a_bulk_that_is_killed_and_repeated_places_each_order_once(
    cloud: Cloud, wire: Wire, call: int, after: bool
) -> None:
    runs = register_note()
    cloud.http("GET", "/tasks")  # reads the token
    wire.faults = {len(wire.calls) + call: wire.killed_after if after else wire.killed}
    with pytest.raises(faults.Killed):
        post(cloud, notes(3))
    wire.reborn()

    assert counts(bulk(cloud, notes(3))) == (3, 0, 0)

    assert len(cloud.rows()) == 3
    assert settled(cloud) == ["SUCCESS"] * 3
    assert set(runs) == {0, 1, 2}


class Hurried(LambdaContext):
    """A context in which each look at the clock takes a second."""

    def get_remaining_time_in_millis(self) -> int:
        self._time_left_s -= 1
        return super().get_remaining_time_in_millis()


@pytest.mark.parametrize(("time_left_s", "status", "placed"), [(10, 200, 4), (5, 503, 0)])
def test_with_too_little_time_no_further_order_is_tried(
    cloud: Cloud,
    capsys: pytest.CaptureFixture[str],
    time_left_s: int,
    status: int,
    placed: int,
) -> None:
    register_note()
    text = json.dumps({"orders": notes(6)})
    event = gateway_event(cloud, "POST", "/orders/bulk", "/orders/bulk", text)
    event["headers"]["Idempotency-Key"] = "k"

    answer = orderline.app(event, Hurried(time_left_s))

    assert (answer["statusCode"], len(cloud.rows())) == (status, placed)
    if placed:
        body = json.loads(answer["body"])
        assert counts(body) == (placed, 0, 6 - placed)
        assert "time" in body["items"][placed]["problem"]["detail"]
        assert cloud.messages() == placed
        assert '"event":"bulk_out_of_time"' in capsys.readouterr().out
    assert replays(bulk(cloud, notes(6))) == [True] * placed + [False] * (6 - placed)


def test_a_repetition_reads_what_is_placed_and_goes_on_behind_it(cloud: Cloud, wire: Wire) -> None:
    register_note()
    bulk(cloud, notes(105))
    wire.calls.clear()

    assert replays(bulk(cloud, notes(106))) == [True] * 105 + [False]
    calls = Counter(wire.calls)
    assert (calls["PutItem"], calls["BatchGetItem"]) == (2, 2)


class Slow(LambdaContext):
    """A context whose time passes with each write of a row."""

    def write(self, call: faults.Call) -> None:
        self._time_left_s -= 6 if call.operation == "PutItem" else 0


def test_a_bulk_that_takes_longer_than_its_function_is_placed_by_repetitions(
    cloud: Cloud, wire: Wire
) -> None:
    register_note()
    event = gateway_event(
        cloud, "POST", "/orders/bulk", "/orders/bulk", json.dumps({"orders": notes(12)})
    )
    event["headers"]["Idempotency-Key"] = "k"
    placed = []
    for _ in range(3):
        context = Slow(29)
        wire.gate = context.write
        placed.append(counts(json.loads(orderline.app(event, context)["body"]))[0])

    assert placed == [5, 9, 12], "the first order is written again, to learn of the repetition"


def test_the_time_of_a_bulk_is_not_that_of_the_workers(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_note()
    monkeypatch.setenv("WORKER_TIMEOUT_S", "3")

    assert counts(bulk(cloud, notes(1))) == (1, 0, 0)


def test_a_repetition_wastes_one_slot_of_a_task_with_per_minute(cloud: Cloud, wire: Wire) -> None:
    @task(per_minute=60)
    def fetch(n: int) -> None: ...

    orders = [{"task": "fetch", "input": {"n": n}} for n in range(5)]
    bulk(cloud, orders)
    slots = wire.calls.count("UpdateItem")

    assert replays(bulk(cloud, orders)) == [True] * 5

    assert (slots, wire.calls.count("UpdateItem")) == (5, 6)


def cancel(cloud: Cloud, order_ids: Sequence[Any], **more: Any) -> Any:
    """Cancel orders, and return the body; its counts agree with its items."""
    reply = cloud.http("POST", "/orders/cancel", {"ids": order_ids, **more})
    assert reply.status == 200, reply.body
    body = reply.json
    names = ("cancelled", "stopping", "refused", "unknown")
    assert len(body["items"]) == len(order_ids) == sum(body[name] for name in names)
    return body


def test_orders_are_cancelled_or_stopped_each_on_its_own(cloud: Cloud) -> None:
    @task
    def wait(order: Context) -> None: ...

    running, ended = [cloud.place("wait")["id"] for _ in range(2)]
    cloud.claim(running, lease_s=60)
    cloud.claim(ended, lease_s=1)
    cloud.clock.advance(10)
    cloud.deliver(batch=3)
    assert cloud.get(ended)["status"] == "SUCCESS"
    waiting = cloud.place("wait")["id"]
    other = {"Authorization": f"Bearer {cloud.new_token('other')}"}
    foreign = cloud.place("wait", headers=other)["id"]

    body = cancel(cloud, [waiting.lower(), running, ended, foreign, "x"])

    assert body["items"][:2] == [
        {"id": waiting, "status": "CANCELLED"},
        {"id": running, "status": "RUNNING"},
    ]
    assert types(body) == ["", "", "not-cancellable", "not-found", "not-found"]
    assert body["items"][2]["problem"]["order_status"] == "SUCCESS"
    assert [item["id"] for item in body["items"][2:]] == [ended, foreign, "x"]
    assert (body["cancelled"], body["stopping"], body["refused"]) == (1, 1, 3)
    assert cancel(cloud, [waiting, running])["items"] == body["items"][:2], "again: no effect"
    assert cloud.order(foreign, "other").status is Status.PENDING


def test_an_id_with_a_letter_whose_capital_is_another_is_not_found(cloud: Cloud) -> None:
    register_note()
    key = next(str(n) for n in range(99) if "S" in ids.id_of("kit", str(n)))
    order_id = cloud.place("note", {"n": 1}, {"Idempotency-Key": key})["id"]

    assert types(cancel(cloud, [order_id.replace("S", "\u017f")])) == ["not-found"]


def test_running_orders_may_be_left_alone(cloud: Cloud) -> None:
    register_note()
    order_id = cloud.place("note", {"n": 1})["id"]
    cloud.claim(order_id, lease_s=60)

    assert types(cancel(cloud, [order_id], running="refuse")) == ["not-cancellable"]
    assert cancel(cloud, [order_id], running="stop")["stopping"] == 1


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/ids"),
        ({"ids": []}, "/ids"),
        ({"ids": ["x"] * 1001}, "/ids"),
        ({"ids": ["x", 3]}, "/ids/1"),
        ({"ids": ["x"], "running": "maybe"}, "/running"),
        ({"ids": ["x"], "running": None}, "/running"),
        ({"ids": ["x"], "reason": "x"}, "/reason"),
    ],
)
def test_a_body_that_is_not_a_list_of_ids_is_refused(cloud: Cloud, body: Any, pointer: str) -> None:
    problem = problem_of(cloud.http("POST", "/orders/cancel", body))

    assert (problem["type"], problem["pointer"]) == ("/problems/invalid-order", pointer)


def test_after_a_cancel_that_fails_no_further_one_is_tried(cloud: Cloud, wire: Wire) -> None:
    register_note()
    placed = [item["id"] for item in bulk(cloud, notes(3))["items"]]
    wire.breaks("UpdateItem")
    assert cloud.http("POST", "/orders/cancel", {"ids": placed}).status == 503
    cancel(cloud, placed[:1])
    wire.breaks("UpdateItem")

    body = cancel(cloud, placed)

    assert types(body) == ["", "unavailable", "unavailable"]
    assert cancel(cloud, placed)["cancelled"] == 3
    assert {row.status for row in cloud.rows()} == {Status.CANCELLED}
