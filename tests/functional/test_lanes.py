"""Lanes: each task's orders go to the queue of its lane, and follow when the task moves."""

from __future__ import annotations

import json

import pytest

from chalicelib import config, queue, tasks
from chalicelib.errors import SettingMistake, TaskMistake
from chalicelib.execution import registry
from testkit import Cloud
from testkit.wire import tapped

LANES = {"heavy": 300, "express": 60}


@pytest.fixture(autouse=True)
def lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANES", json.dumps(LANES))


def in_lane(lane: str) -> None:
    @tasks.task(lane=lane, max_attempts=2)
    def where() -> str:
        return config.settings().lane


def move(lane: str) -> None:
    """Deploy a version whose task `where` is in another lane."""
    del registry._registry["where"]
    in_lane(lane)


def test_an_order_waits_in_its_lane_and_runs_there(cloud: Cloud) -> None:
    in_lane("heavy")
    order = cloud.place("where")
    assert (cloud.messages(), cloud.messages(lane="heavy")) == (0, 1)
    cloud.drain(lane="default")
    assert cloud.get(order["id"])["status"] == "PENDING"
    cloud.drain(lane="heavy")
    assert cloud.get(order["id"])["result"] == "heavy"


def test_a_retry_and_a_requeue_go_to_the_lane(cloud: Cloud) -> None:
    in_lane("express")
    order = cloud.place("where")
    cloud.sqs.purge_queue(QueueUrl=queue.url("express"))
    cloud.clock.advance(200)
    assert cloud.sweep()["resent"] == 1
    assert (cloud.messages(), cloud.messages(lane="express")) == (0, 1)
    cloud.http("POST", f"/orders/{order['id']}/cancel")
    cloud.http("POST", f"/orders/{order['id']}/retry")
    assert cloud.messages(lane="express") == 2
    cloud.drain()
    assert cloud.get(order["id"])["result"] == "express"


@pytest.mark.parametrize(("old", "new"), [("default", "heavy"), ("heavy", "default")])
def test_a_moved_task_s_message_is_forwarded_without_an_attempt(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    in_lane(old)
    order = cloud.place("where")
    move(new)
    queue.url(new)  # cached, as on AWS
    with tapped() as wire:
        cloud.drain(lane=old)
        assert wire.calls == ["SendMessage"]
    (line,) = capsys.readouterr().out.splitlines()[-1:]
    assert json.loads(line)["messages_forwarded"] == 1
    assert (cloud.messages(lane=old), cloud.messages(lane=new)) == (0, 1)
    cloud.drain(lane=new)
    assert cloud.get(order["id"])["status"] == "PENDING", "an old worker may send it back"
    cloud.clock.advance(queue.FORWARD_DELAY_S)
    cloud.drain(lane=new)
    assert cloud.get(order["id"])["result"] == new
    assert cloud.get(order["id"])["attempts"] == 1


def test_a_message_that_can_not_be_forwarded_is_kept(cloud: Cloud) -> None:
    in_lane("default")
    order = cloud.place("where")
    move("heavy")
    url = queue.url("heavy")
    cloud.sqs.delete_queue(QueueUrl=url)
    assert cloud.drain(lane="default").kept == 1
    cloud.sqs.create_queue(QueueName=url.rpartition("/")[2])
    cloud.clock.advance(400)
    cloud.drain()
    cloud.clock.advance(queue.FORWARD_DELAY_S)
    cloud.drain()
    assert cloud.get(order["id"])["result"] == "heavy"


def test_a_message_that_was_forwarded_twice_runs_its_order_once(cloud: Cloud) -> None:
    """A worker that dies after the send, before the message is deleted, forwards it again."""
    in_lane("default")
    order = cloud.place("where")
    move("heavy")
    (message,) = cloud.sqs.receive_message(QueueUrl=queue.url("default"))["Messages"]
    cloud.sqs.send_message(QueueUrl=queue.url("heavy"), MessageBody=message["Body"])
    cloud.clock.advance(400)
    cloud.drain()
    cloud.clock.advance(queue.FORWARD_DELAY_S)
    cloud.drain()
    assert cloud.get(order["id"])["attempts"] == 1
    assert cloud.messages() + cloud.messages(lane="heavy") == 0


def test_a_task_name_corrected_from_the_row_is_forwarded_too(cloud: Cloud) -> None:
    in_lane("heavy")
    order = cloud.place("where")
    cloud.sqs.purge_queue(QueueUrl=queue.url("heavy"))
    body = {"v": 1, "pk": f"kit#{order['id']}", "task": "cook_nuggets"}
    cloud.sqs.send_message(QueueUrl=queue.url("default"), MessageBody=json.dumps(body))
    cloud.drain()
    cloud.clock.advance(queue.FORWARD_DELAY_S)
    cloud.drain()
    assert cloud.get(order["id"])["result"] == "heavy"


def test_a_full_lane_does_not_stop_the_sweep_of_another(cloud: Cloud) -> None:
    in_lane("heavy")
    lost = cloud.place("cook_nuggets", {"pieces": 1})
    cloud.sqs.purge_queue(QueueUrl=queue.url("default"))
    for _ in range(3):
        cloud.place("where")
    for _ in range(200):
        cloud.sqs.send_message(QueueUrl=queue.url("heavy"), MessageBody="{}")
    cloud.clock.advance(200)
    assert cloud.sweep()["resent"] == 1
    assert cloud.messages() == 1
    cloud.drain(lane="default")
    assert cloud.get(lost["id"])["status"] == "SUCCESS"


def test_busy_lanes_are_not_sent_each_other_s_overdue_orders(cloud: Cloud) -> None:
    in_lane("heavy")
    for _ in range(120):
        cloud.place("where")
        cloud.place("cook_nuggets", {"pieces": 1})
    cloud.clock.advance(400)
    assert cloud.sweep()["resent"] == 0


def test_a_lane_whose_queue_is_gone_does_not_stop_the_sweep_of_another(cloud: Cloud) -> None:
    in_lane("heavy")
    cloud.place("where")
    lost = cloud.place("cook_nuggets", {"pieces": 1})
    cloud.sqs.purge_queue(QueueUrl=queue.url("default"))
    cloud.sqs.delete_queue(QueueUrl=queue.url("heavy"))
    cloud.clock.advance(7200)
    assert cloud.sweep()["resent"] == 1
    cloud.drain(lane="default")
    assert cloud.get(lost["id"])["status"] == "SUCCESS"


def test_a_dead_letter_of_a_lane_gets_another_message_there(cloud: Cloud) -> None:
    in_lane("heavy")
    order = cloud.place("where")
    cloud.sqs.purge_queue(QueueUrl=queue.url("heavy"))
    cloud.bury(order["id"])
    cloud.drain(dead=True)
    cloud.clock.advance(200)
    cloud.sweep()
    cloud.drain(lane="heavy")
    assert cloud.get(order["id"])["result"] == "heavy"


def test_an_order_of_a_removed_lane_runs_where_its_task_is_now(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_lane("heavy")
    order = cloud.place("where")
    cloud.sqs.delete_queue(QueueUrl=queue.url("heavy"))
    monkeypatch.delenv("LANES")
    move("default")
    cloud.clock.advance(200)
    cloud.sweep()
    cloud.drain()
    assert cloud.get(order["id"])["result"] == "default"


def test_an_unknown_lane_is_a_mistake_that_names_the_lanes_and_the_fix() -> None:
    with pytest.raises(TaskMistake, match=r"no lane 'hevy', only default, heavy, .*orderline.yaml"):
        in_lane("hevy")


def test_a_time_limit_beyond_the_lane_s_timeout_is_a_mistake() -> None:
    def slow() -> None: ...

    with pytest.raises(TaskMistake, match=r"under 300, .*timeout_s of the lane heavy"):
        tasks.task(lane="heavy", timeout_s=300)(slow)
    tasks.task(lane="heavy", timeout_s=299)(slow)


def test_a_function_of_an_older_deploy_still_loads_a_task_of_a_new_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """CloudFormation updates a function's code and its variables one after the other."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    monkeypatch.setenv("ACCESS", "token")
    in_lane("new")
    assert tasks.lane_of("where") == "new"


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"LANES": "heavy"}, "LANES: .*JSON such as"),
        ({"LANES": '{"heavy": "a"}'}, "LANES: .*int"),
        ({"LANE": "hevy"}, "LANE='hevy'"),
    ],
)
def test_a_setting_of_lanes_that_is_not_valid_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingMistake, match=message):
        config.settings()


def test_without_other_lanes_a_sweep_asks_one_queue(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LANES")
    with tapped() as wire:
        cloud.sweep()
    assert wire.calls.count("GetQueueAttributes") == 1
