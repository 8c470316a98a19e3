"""Orders that wait for others: released by their ends, failed by their failures, never lost."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib import ending, ids, prerequisites, queue
from chalicelib.errors import Unavailable
from chalicelib.table import transitions
from chalicelib.tasks import TOGETHER, Context, Done, task
from testkit import Cloud
from testkit.wire import Killed, Wire, throttled

NUGGETS = {"pieces": 1}


def place(cloud: Cloud, task: str, after: list[str], key: str = "", **members: Any) -> Any:
    """Place an order that waits for others; return it. A refusal fails the test."""
    reply = post(cloud, task, after, key, **members)
    assert reply.status == 202, reply.body
    return reply.json


def post(cloud: Cloud, task: str, after: Any, key: str = "", **members: Any) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"task": task, "input": {}, "after": after, **members}
    return cloud.http("POST", "/orders", body, headers)


@pytest.fixture(autouse=True)
def served() -> list[list[Done]]:
    """Register the tasks `cook`, `burn` and `serve`; return what each run of `serve` waited for."""
    runs: list[list[Done]] = []

    @task
    def cook(pieces: int = 1) -> int:
        return pieces

    @task(max_attempts=1)
    def burn() -> None:
        raise RuntimeError("too hot")

    @task
    def serve(order: Context) -> int:
        runs.append(order.after())
        return len(runs[-1])

    return runs


def test_an_order_runs_once_those_before_it_have_ended(
    cloud: Cloud, served: list[list[Done]]
) -> None:
    children = [cloud.place("cook", {"pieces": n})["id"] for n in (3, 1, 2)]
    last = place(cloud, "serve", children)
    assert (last["status"], last["waits_for"], last["run_at"]) == ("PENDING", 3, None)
    assert [url[-26:] for url in last["links"]["after"]] == children

    cloud.drain()

    assert cloud.get(last["id"])["status"] == "SUCCESS"
    assert [[(done.id, done.status, done.result) for done in run] for run in served] == [
        [(child, "SUCCESS", pieces) for child, pieces in zip(children, (3, 1, 2), strict=True)]
    ]
    assert cloud.get(last["id"])["waits_for"] == 0
    assert cloud.messages() == 0


def test_an_order_after_ended_ones_runs_at_once(cloud: Cloud, served: list[list[Done]]) -> None:
    child = cloud.place("cook")["id"]
    cloud.drain()
    last = place(cloud, "serve", [child])

    assert last["waits_for"] == 0
    cloud.drain()
    assert [done.result for done in served[0]] == [1]


def test_a_failure_fails_what_waits_for_it_and_names_the_reason(
    cloud: Cloud, served: list[list[Done]]
) -> None:
    child = cloud.place("burn")["id"]
    last = place(cloud, "serve", [child])
    after_it = place(cloud, "serve", [last["id"]])
    cloud.drain()

    error = cloud.get(last["id"])["error"]
    assert error["code"] == "prerequisite_failed"
    assert error["message"] == (
        f"the order {child}, for which this one waits, ended FAILED (RuntimeError: too hot)"
    )
    assert cloud.get(after_it["id"])["error"]["code"] == "prerequisite_failed"
    assert served == []


def test_an_order_after_two_of_which_one_fails_by_the_other_runs_at_once(
    cloud: Cloud, served: list[list[Done]]
) -> None:
    """The first failure releases both, and the second order once more."""
    first = cloud.place("burn")["id"]
    second = place(cloud, "cook", [first])["id"]
    for after in ([first, second], [second, first]):
        place(cloud, "serve", after, when="end")
    cloud.drain()

    assert [{done.status for done in run} for run in served] == [{"FAILED"}] * 2


def test_an_order_may_run_after_any_end(cloud: Cloud, served: list[list[Done]]) -> None:
    failing = cloud.place("burn")["id"]
    cancelled = cloud.place("cook")["id"]
    last = place(cloud, "serve", [failing, cancelled], when="end")
    cloud.http("POST", f"/orders/{cancelled}/cancel")
    cloud.drain()

    assert cloud.get(last["id"])["status"] == "SUCCESS"
    assert [(done.status, done.error.code if done.error else None) for done in served[0]] == [
        ("FAILED", "task_error"),
        ("CANCELLED", None),
    ]


def test_a_cancelled_prerequisite_fails_what_waits_for_its_success(cloud: Cloud) -> None:
    child = cloud.place("cook")["id"]
    last = place(cloud, "serve", [child])
    cloud.http("POST", f"/orders/{child}/cancel")

    assert "CANCELLED" in cloud.get(last["id"])["error"]["message"]


def test_a_waiting_order_can_be_cancelled_and_retried(
    cloud: Cloud, served: list[list[Done]]
) -> None:
    child = cloud.place("cook")["id"]
    last = place(cloud, "serve", [child])
    assert cloud.http("POST", f"/orders/{last['id']}/cancel").json["status"] == "CANCELLED"
    retried = cloud.http("POST", f"/orders/{last['id']}/retry")

    assert (retried.status, retried.json["waits_for"]) == (202, 1)
    assert retried.json["run_at"] is None
    cloud.drain()
    assert len(served) == 1
    assert cloud.get(last["id"])["status"] == "SUCCESS"


def test_a_cancelled_order_whose_prerequisites_end_meanwhile_runs_when_it_is_retried(
    cloud: Cloud, served: list[list[Done]]
) -> None:
    child = cloud.place("cook")["id"]
    last = place(cloud, "serve", [child])
    cloud.http("POST", f"/orders/{last['id']}/cancel")
    cloud.drain()
    assert served == []

    assert cloud.http("POST", f"/orders/{last['id']}/retry").json["waits_for"] == 0
    cloud.drain()
    assert cloud.get(last["id"])["status"] == "SUCCESS"


def test_both_sides_of_a_failure_can_be_retried(cloud: Cloud, served: list[list[Done]]) -> None:
    @task(max_attempts=1)
    def unsteady(order: Context) -> int:
        if order.key.endswith(".0"):
            raise RuntimeError("the first round")
        return 1

    child = cloud.place("unsteady")["id"]
    last = place(cloud, "serve", [child])
    cloud.drain()
    too_early = cloud.http("POST", f"/orders/{last['id']}/retry")
    assert too_early.json["status"] == "FAILED"
    cloud.http("POST", f"/orders/{child}/retry")
    assert cloud.http("POST", f"/orders/{last['id']}/retry").json["waits_for"] == 1
    cloud.drain()

    assert cloud.get(last["id"])["status"] == "SUCCESS"
    assert len(served) == 1


def test_a_retry_of_an_order_that_failed_itself_runs_it_again(cloud: Cloud) -> None:
    child = cloud.place("cook")["id"]
    last = place(cloud, "burn", [child])
    cloud.drain()
    cloud.http("POST", f"/orders/{last['id']}/retry")
    cloud.drain()

    assert cloud.get(last["id"])["error"]["code"] == "task_error"
    assert cloud.order(last["id"]).retry_round == 1


@pytest.mark.parametrize(
    ("after", "members", "pointer"),
    [
        (["0" * 26], {}, "/after/0"),
        (["here"], {}, "/after/0"),
        ("0" * 26, {}, "/after"),
        ([1], {}, "/after"),
        ([ids.id_of(str(n)) for n in range(101)], {}, "/after"),
        (["0" * 26], {"delay_s": 1}, "/after"),
        (["0" * 26], {"when": "never"}, "/when"),
        ([], {"when": "end"}, "/when"),
    ],
)
def test_what_can_not_be_waited_for_is_refused(
    cloud: Cloud, after: Any, members: dict[str, Any], pointer: str
) -> None:
    reply = post(cloud, "serve", after, **members)

    assert (reply.status, reply.json["pointer"]) == (422, pointer)
    assert cloud.rows() == []


def test_an_order_of_another_owner_can_not_be_waited_for(cloud: Cloud) -> None:
    child = cloud.place("cook")["id"]
    stranger = {"Authorization": f"Bearer {cloud.new_token('stranger')}"}
    body = {"task": "serve", "input": {}, "after": [child]}

    assert cloud.http("POST", "/orders", body, stranger).status == 422


def test_a_repeated_request_returns_the_same_order(cloud: Cloud) -> None:
    child = cloud.place("cook")["id"]
    first = place(cloud, "serve", [child], key="k")
    again = post(cloud, "serve", [child], key="k")
    other = post(cloud, "serve", [child], key="k", when="end")

    assert (again.json["id"], again.headers["Idempotency-Replayed"]) == (first["id"], "true")
    assert other.json["type"] == "/problems/idempotency-key-reused"


def test_a_repeated_request_joins_what_a_crash_left(cloud: Cloud, wire: Wire) -> None:
    child = cloud.place("cook")["id"]
    wire.faults[len(wire.calls) + 2] = wire.killed  # at the join: its own row is written
    with pytest.raises(Killed):
        place(cloud, "serve", [child], key="k")
    wire.reborn()
    last = place(cloud, "serve", [child], key="k")
    cloud.drain()

    assert cloud.get(last["id"])["status"] == "SUCCESS"


def test_the_sweeper_settles_a_waiting_order_that_nobody_released(
    cloud: Cloud, served: list[list[Done]], monkeypatch: pytest.MonkeyPatch
) -> None:
    child = cloud.place("cook")["id"]
    last = place(cloud, "serve", [child])
    with monkeypatch.context() as patch:
        patch.setattr(ending, "wake", lambda *_: None)  # the worker dies before it
        cloud.drain()
    assert cloud.get(last["id"])["status"] == "PENDING"

    cloud.clock.advance(200)
    cloud.sweep()
    cloud.drain()

    assert cloud.get(last["id"])["status"] == "SUCCESS"
    assert len(served) == 1


def test_a_waiting_order_is_checked_less_and_less_often(cloud: Cloud) -> None:
    child = cloud.http("POST", "/orders", {"task": "cook", "delay_s": 86_400}).json["id"]
    last = place(cloud, "serve", [child])
    waits = []
    for _ in range(8):
        row = cloud.order(last["id"])
        assert str(row.check_shard).startswith("waiting#")
        cloud.clock.advance((row.check_at or 0) / 1e6 - cloud.clock() / 1e6 + 1)
        waits.append(round(((row.check_at or 0) - row.updated_at) / 1e6))
        cloud.sweep()

    assert waits == [120, 120, 240, 480, 960, 1920, 3600, 3600]


def test_a_release_stops_when_no_time_is_left_and_is_finished_by_the_next_message(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = cloud.place("cook")["id"]
    waiting = [place(cloud, "serve", [child])["id"] for _ in range(4)]
    ended = transitions.succeed(cloud.claim(child, lease_s=60), "1")
    left = iter([60, 60, 0.1])
    with pytest.raises(Unavailable):
        ending.wake(ended, time_left_s=lambda: next(left))
    assert sum(cloud.order(id).waiting for id in waiting) == 2

    cloud.drain()

    assert {cloud.get(id)["status"] for id in waiting} == {"SUCCESS"}


def test_the_message_of_an_ended_order_is_kept_until_its_dependents_are_released(
    cloud: Cloud, wire: Wire, served: list[list[Done]]
) -> None:
    child = cloud.place("cook")["id"]
    last = place(cloud, "serve", [child])
    wire.calls.clear()
    for n in range(2, 10):  # claim and finish go well, the release does not
        wire.faults[n] = throttled
    cloud.deliver()
    wire.faults.clear()
    assert cloud.get(child)["status"] == "SUCCESS"
    assert cloud.messages() == 1
    cloud.clock.advance(1000)
    cloud.drain()

    assert cloud.get(last["id"])["status"] == "SUCCESS"
    assert len(served) == 1


def test_a_row_of_a_newer_version_does_not_stop_the_release_of_others(cloud: Cloud) -> None:
    child = cloud.place("burn")["id"]
    waiting = sorted(place(cloud, "serve", [child], when="end")["id"] for _ in range(3))
    cloud.garble(waiting[0])
    cloud.drain()

    assert [cloud.get(id)["status"] for id in waiting[1:]] == ["SUCCESS"] * 2


def test_a_message_that_is_lost_after_the_wait_is_sent_again_soon(cloud: Cloud) -> None:
    child = cloud.http("POST", "/orders", {"task": "cook", "delay_s": 86_400}).json["id"]
    last = place(cloud, "serve", [child], when="end")
    for _ in range(3):
        cloud.clock.advance(3600)
        cloud.sweep()
    assert cloud.order(last["id"]).requeue_count == 3
    cloud.http("POST", f"/orders/{child}/cancel")

    assert cloud.order(last["id"]).requeue_count == 0


def test_a_chain_can_not_step_over_the_sweeper_s_turn(cloud: Cloud) -> None:
    order = cloud.order(cloud.place("cook")["id"])
    rows = {depth: replace(order, depth=depth) for depth in range(8, 12)}

    assert ending.as_worker_of(rows[8])(rows[9])
    assert not ending.as_worker_of(rows[9])(rows[10])
    assert not ending.as_worker_of(rows[9])(rows[11])
    assert ending.as_worker_of(rows[10])(rows[11])
    assert ending.as_worker_of(rows[10])(rows[8])  # a delivery has no depth


def test_a_list_leaves_out_the_links_of_a_workflow(cloud: Cloud) -> None:
    child = cloud.place("cook")["id"]
    place(cloud, "serve", [child])
    for order in cloud.http("GET", "/orders").json["items"]:
        assert not {"after", "dependents"} & set(order["links"])
        assert order["run_at"] is None


def test_a_waiting_order_is_polled_by_its_age(cloud: Cloud) -> None:
    child = cloud.http("POST", "/orders", {"task": "cook", "delay_s": 600}).json["id"]

    assert post(cloud, "serve", [child]).headers["Retry-After"] == "1"


def test_an_ended_prerequisite_takes_any_number_of_dependents(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prerequisites, "MAX_DEPENDENTS", 1)
    child = cloud.place("cook")["id"]
    place(cloud, "serve", [child])
    cloud.drain()

    assert post(cloud, "serve", [child]).status == 202


def test_a_worker_whose_clock_is_behind_keeps_the_message(cloud: Cloud) -> None:
    child = cloud.place("cook")["id"]
    cloud.drain()
    last = place(cloud, "burn", [child])
    cloud.drain()
    cloud.http("POST", f"/orders/{last['id']}/retry")
    cloud.clock.advance(-1.5)
    assert cloud.drain().kept == 1
    cloud.clock.advance(2)
    cloud.drain()

    assert cloud.order(last["id"]).attempts == 1


def test_the_latest_run_at_is_not_taken_for_an_unknown_one(cloud: Cloud) -> None:
    assert post(cloud, "cook", [], run_at="9999-01-01T00:00:00Z").json["pointer"] == "/run_at"
    body = {"task": "cook", "input": {}, "run_at": "9998-12-31T23:59:59Z"}
    order = cloud.http("POST", "/orders", body).json
    cloud.drain()

    assert (order["run_at"], cloud.get(order["id"])["status"]) == (
        "9998-12-31T23:59:59.000000Z",
        "PENDING",
    )


def test_an_old_order_whose_prerequisite_is_gone_fails(cloud: Cloud) -> None:
    child = cloud.place("cook")["id"]
    last = place(cloud, "serve", [child])
    key = {"pk": {"S": ids.key_of("kit", child)}}
    cloud.dynamodb.delete_item(TableName="orderline-dev-orders", Key=key)
    for _ in range(8):
        cloud.clock.advance(300)
        cloud.sweep()

    assert cloud.get(last["id"])["error"]["code"] == "prerequisite_gone"


def test_a_message_of_a_waiting_order_does_not_start_it(cloud: Cloud) -> None:
    child = cloud.http("POST", "/orders", {"task": "cook", "delay_s": 600}).json["id"]
    last = place(cloud, "serve", [child])
    queue.send(cloud.order(last["id"]))
    cloud.drain()

    assert (cloud.get(last["id"])["status"], cloud.get(last["id"])["attempts"]) == ("PENDING", 0)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"after": ["0" * 26]}, "task_error"),
        ({"after": "0" * 26}, "task_error"),
        ({"when": "failure"}, "task_error"),
        ({"when": "end"}, "task_error"),
        ({"after": [5]}, "task_error"),
    ],
)
def test_a_task_hears_of_its_own_mistakes(cloud: Cloud, options: Any, code: str) -> None:
    @task(max_attempts=1)
    def album(order: Context) -> None:
        order.place("cook", **options)

    order = cloud.place("album")
    cloud.drain()

    assert cloud.get(order["id"])["error"]["code"] == code
    assert len(cloud.rows()) == 1


def test_the_input_of_a_waiting_order_stays_in_its_row_if_it_can(cloud: Cloud) -> None:
    """A file might be deleted before the order runs."""

    @task
    def weigh(text: str) -> int:
        return len(text)

    child = cloud.place("cook")["id"]
    small = place(cloud, "weigh", [child], input={"text": "x" * 60_000})
    large = place(cloud, "weigh", [child], input={"text": "x" * 70_000})
    cloud.drain()

    assert cloud.order(small["id"]).input_file is None
    assert cloud.order(large["id"]).input_file is not None
    assert [cloud.get(each["id"])["result"] for each in (small, large)] == [60_000, 70_000]


def test_a_task_places_a_fan_out_and_its_fan_in(cloud: Cloud, served: list[list[Done]]) -> None:
    @task
    def album(order: Context, photos: int) -> str:
        thumbs = [order.place("cook", {"pieces": n}, name=f"thumb {n}") for n in range(photos)]
        return order.place("serve", name="album", after=thumbs)

    order = cloud.place("album", {"photos": 4})
    cloud.drain()

    assert [done.result for done in served[0]] == [0, 1, 2, 3]
    assert cloud.get(cloud.get(order["id"])["result"])["result"] == 4


def test_an_order_may_wait_for_any_number_by_a_tree(
    cloud: Cloud, served: list[list[Done]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.functions.actions.MAX_AFTER", 3)

    @task
    def album(order: Context) -> None:
        thumbs = [order.place("cook", {"pieces": n}, name=str(n)) for n in range(11)]
        order.place("serve", after=thumbs)

    cloud.place("album")
    cloud.drain()

    assert [done.result for done in served[0]] == list(range(11))
    assert sum(row.task == TOGETHER for row in cloud.rows()) == 4 + 2
    listed = {each["task"] for each in cloud.http("GET", "/orders").json["items"]}
    assert listed == {"album", "cook", "serve"}
    groups = cloud.http("GET", f"/orders?task={TOGETHER}").json["items"]
    assert len(groups) == 4 + 2
    assert len(served) == 1


def test_the_reason_of_a_failure_passes_through_a_tree(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.functions.actions.MAX_AFTER", 2)

    @task
    def album(order: Context) -> str:
        parts = [order.place(name, name=str(n)) for n, name in enumerate(("cook", "cook", "burn"))]
        return order.place("serve", after=parts)

    order = cloud.place("album")
    cloud.drain()

    assert "too hot" in cloud.get(cloud.get(order["id"])["result"])["error"]["message"]


def test_the_groups_of_a_tree_are_retried_with_the_order_that_waits_for_them(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.functions.actions.MAX_AFTER", 2)

    @task(max_attempts=1)
    def unsteady(order: Context) -> None:
        if order.key.endswith(".0"):
            raise RuntimeError("the first round")

    @task
    def album(order: Context) -> str:
        parts = [order.place("unsteady" if n == 2 else "cook", name=str(n)) for n in range(5)]
        return order.place("serve", after=parts)

    last = cloud.get(cloud.place("album")["id"])
    cloud.drain()
    last = cloud.get(last["id"])["result"]
    (child,) = cloud.http("GET", "/orders?task=unsteady").json["items"]
    cloud.http("POST", f"/orders/{child['id']}/retry")
    cloud.drain()
    retried = cloud.http("POST", f"/orders/{last}/retry")
    cloud.drain()

    assert retried.status == 202
    assert (cloud.get(last)["status"], cloud.get(last)["result"]) == ("SUCCESS", 5)


def test_the_error_of_a_chain_names_the_first_cause_once(cloud: Cloud) -> None:
    chain = [cloud.place("burn")["id"]]
    for _ in range(4):
        chain.append(place(cloud, "cook", chain[-1:])["id"])
    cloud.drain()

    assert cloud.get(chain[-1])["error"]["message"] == (
        f"the order {chain[-2]}, for which this one waits, did not run: the order {chain[0]}, for"
        " which this one waits, ended FAILED (RuntimeError: too hot)"
    )


def test_the_tenth_order_of_a_chain_is_sent_by_the_sweeper(cloud: Cloud) -> None:
    first = cloud.place("cook")["id"]
    chain = [first]
    for _ in range(ending.MAX_DIRECT_DEPTH):
        chain.append(place(cloud, "cook", chain[-1:])["id"])
    cloud.drain()
    assert [cloud.get(id)["status"] for id in chain[-2:]] == ["SUCCESS", "PENDING"]
    cloud.sweep()
    cloud.drain()

    assert cloud.get(chain[-1])["status"] == "SUCCESS"


def test_a_prerequisite_takes_a_hundred_dependents(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prerequisites, "MAX_DEPENDENTS", 2)
    child = cloud.place("cook")["id"]
    for _ in range(2):
        place(cloud, "serve", [child])
    reply = post(cloud, "serve", [child])

    assert (reply.status, reply.json["pointer"]) == (422, "/after/0")


def test_a_dead_letter_of_a_prerequisite_leaves_the_send_to_the_sweeper(cloud: Cloud) -> None:
    child = cloud.place("burn")["id"]
    last = place(cloud, "serve", [child], when="end")
    cloud.claim(child, lease_s=1)
    cloud.clock.advance(2)
    cloud.bury(child)
    sent = cloud.messages()
    cloud.drain(dead=True)

    assert cloud.get(child)["status"] == "FAILED"
    assert cloud.messages() == sent
    cloud.sweep()
    cloud.drain()
    assert cloud.get(last["id"])["status"] == "SUCCESS"


def test_the_built_in_task_is_not_listed_and_can_be_ordered(cloud: Cloud) -> None:
    listed = [each["name"] for each in cloud.http("GET", "/tasks").json["items"]]
    child = cloud.place("cook")["id"]
    together = place(cloud, TOGETHER, [child])
    cloud.drain()

    assert TOGETHER not in listed
    assert cloud.get(together["id"])["status"] == "SUCCESS"


def test_a_failed_settle_leaves_the_order_accepted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = cloud.place("cook")["id"]

    def unavailable(*_: Any) -> None:
        raise Unavailable("throttled")

    with monkeypatch.context() as patch:
        patch.setattr(ending, "settle", unavailable)
        last = place(cloud, "serve", [child])
    cloud.drain()
    cloud.clock.advance(200)
    cloud.sweep()
    cloud.drain()

    assert cloud.get(last["id"])["status"] == "SUCCESS"
