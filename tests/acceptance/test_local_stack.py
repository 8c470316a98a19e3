"""`make run`, as a user sees it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.acceptance.stack import PATIENCE_S, Stack, environment, free_port, until

pytestmark = pytest.mark.local

EMAIL = "From: ada@example.org\r\nTo: grace@example.org\r\nSubject: Tea\r\n\r\nAt 4?"


def test_orders_of_each_task_succeed(stack: Stack) -> None:
    nuggets = stack.place("cook_nuggets", {"pieces": 6})
    email = stack.place("process_email", {"message": EMAIL})

    assert (nuggets["status"], email["status"]) == ("PENDING", "PENDING")
    assert stack.ended_order(nuggets["id"])["result"]["pieces"] == 6
    assert stack.ended_order(email["id"])["result"]["subject"] == "Tea"


def test_an_order_that_can_not_succeed_fails_with_an_error(stack: Stack) -> None:
    order = stack.ended_order(stack.place("process_email", {"message": "no message at all"})["id"])

    assert (order["status"], order["error"]["code"]) == ("FAILED", "task_error")


def test_short_orders_do_not_wait_for_a_long_one(stack: Stack) -> None:
    long = stack.place("cook_nuggets", {"pieces": 120})
    short = [stack.place("process_email", {"message": EMAIL})["id"] for _ in range(20)]

    ended = [stack.ended_order(order_id) for order_id in (*short, long["id"])]
    assert {order["status"] for order in ended} == {"SUCCESS"}
    assert max(ended, key=lambda order: order["updated_at"])["id"] == long["id"]


def test_the_local_cloud_still_has_the_pause_that_cli_emulator_shortens() -> None:
    from ministack.services import lambda_svc  # noqa: PLC0415 imports for a second

    assert lambda_svc._ESM_IDLE_WAKE_GAP_SECONDS > 0.005


def test_a_run_that_ends_after_its_stack_creates_no_log_group() -> None:
    from ministack.services import cloudwatch_logs, lambda_svc  # noqa: PLC0415 import for a second

    from dev.local import emulator  # noqa: PLC0415

    groups = cloudwatch_logs._log_groups
    log = emulator.logging_of_existing(lambda_svc._emit_lambda_logs)
    function = {"FunctionName": "sweeper", "LoggingConfig": {"LogGroup": "sweeper-log"}}

    log({"config": function}, "1", "a line", False, 5)
    assert "sweeper-log" not in groups

    lambda_svc._functions["sweeper"] = {"config": function}
    log({"config": function}, "1", "a line", False, 5)
    del lambda_svc._functions["sweeper"]
    (stream,) = groups.pop("sweeper-log")["streams"].values()
    assert "a line" in [event["message"] for event in stream["events"]]


def test_a_request_without_a_token_is_401(stack: Stack) -> None:
    assert stack.http("GET", "/orders", headers={"Authorization": ""}).status == 401


def has_line(log: Path, *words: str) -> bool:
    """Return True if a line of a log has all the words."""
    return any(all(word in line for word in words) for line in log.read_text().splitlines())


def test_log_lines_of_the_app_are_in_the_files_that_make_run_names(stack: Stack) -> None:
    order = stack.place("cook_nuggets", {"pieces": 1})
    stack.ended_order(order["id"])

    logs = stack.project / ".local"
    until(lambda: has_line(logs / "http.log", '"event":"order_accepted"', order["id"]))
    until(lambda: has_line(logs / "cloud.log", '"event":"order_ended"', order["id"]))
    assert '"event"' not in stack.output


def test_the_worker_runs_in_the_cloud_which_listens_on_127_0_0_1_alone(stack: Stack) -> None:
    order = stack.place("cook_nuggets", {"pieces": 1})
    stack.ended_order(order["id"])

    assert stack.processes("lambda.*_worker")
    for port in (stack.options["PORT"], stack.options["CLOUD_PORT"]):
        with socket.socket() as probe:
            # This fails if the server listens on every address
            probe.bind(("127.0.0.2" if sys.platform == "linux" else "::1", int(port)))


def test_orders_are_still_there_after_a_restart_on_the_same_port_and_nothing_is_left_running(
    project: Path,
) -> None:
    stack = Stack(project).start()
    order = stack.place("cook_nuggets", {"pieces": 1})
    stack.ended_order(order["id"])
    later = stack.http(
        "POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 8}
    ).json
    token = stack.token
    children = stack.processes()

    assert stack.stop() == 0
    assert not [pid for pid in children if _alive(pid)]

    moved = _run(project, PORT=stack.options["PORT"], CLOUD_PORT=str(free_port()))
    assert moved.returncode == 1
    assert f"CLOUD_PORT={stack.options['CLOUD_PORT']}" in moved.stdout
    assert "rm -r .local" in moved.stdout

    leftover = project / ".local" / "tmp" / "leftover"
    leftover.touch()  # as by a killed function
    stack.start()
    assert not leftover.exists()
    assert stack.token == token
    assert stack.get(order["id"])["status"] == "SUCCESS"
    assert stack.ended_order(later["id"])["status"] == "SUCCESS"
    stack.stop(signal.SIGTERM)


def test_a_killed_worker_s_order_is_run_again(project: Path) -> None:
    stack = Stack(project, WORKER_TIMEOUT_S="6", VISIBILITY_S="10", RESEND_AFTER_S="5").start()
    order = stack.place("cook_nuggets", {"pieces": 48})
    until(lambda: stack.get(order["id"])["status"] == "RUNNING")

    for pid in stack.processes("lambda.*_worker"):
        os.kill(pid, signal.SIGKILL)

    ended = stack.ended_order(order["id"])
    assert (ended["status"], ended["attempts"]) == ("SUCCESS", 2)
    stack.stop()


def test_a_new_task_is_live_without_a_restart_and_a_broken_one_is_not(own: Stack) -> None:
    task = own.project / "chalicelib" / "tasks" / "greet.py"
    task.write_text(
        textwrap.dedent('''
        from chalicelib.tasks import task


        @task
        def greet(name: str, times: int = 1) -> str:
            """Say hello."""
            return " ".join(["Hello", name] * times)
    ''')
    )
    until(lambda: "change is live" in own.output)

    listed = {task["name"]: task for task in own.http("GET", "/tasks").json["items"]}
    assert listed["greet"]["input_schema"]["required"] == ["name"]
    assert (
        own.ended_order(own.place("greet", {"name": "Ada", "times": 2})["id"])["result"]
        == "Hello Ada Hello Ada"
    )
    refused = own.http("POST", "/orders", {"task": "greet", "input": {"name": 7}})
    assert (refused.status, refused.json["pointer"]) == (422, "/input/name")

    task.write_text("def greet(:\n")
    until(lambda: "change is not live" in own.output)
    assert "SyntaxError" in own.output
    assert own.ended_order(own.place("greet", {"name": "Bob"})["id"])["status"] == "SUCCESS"
    task.unlink()


def test_a_refused_lane_is_live_once_its_task_names_it(own: Stack) -> None:
    lanes = own.project / "orderline.yaml"
    task = own.project / "chalicelib" / "tasks" / "film.py"
    code = "from chalicelib.tasks import task\n\n@task(lane='heavy')\ndef film() -> None: ...\n"

    def change(file: Path, text: str, words: str) -> None:
        count = own.output.count("change is ")
        file.write_text(text)
        until(lambda: own.output.count("change is ") > count)
        assert own.output.rpartition("change is ")[2].startswith(words)

    change(lanes, "lanes: {heavy: }\n", "live")
    change(task, code, "live")
    change(lanes, "lanes: {bulk: }\n", "not live")
    change(task, code.replace("heavy", "bulk"), "live")
    order = own.ended_order(own.place("film", {})["id"])
    assert (order["status"], order["lane"]) == ("SUCCESS", "bulk")
    task.unlink()
    lanes.unlink()


def test_changed_libraries_ask_for_a_new_start(own: Stack) -> None:
    lock = own.project / "requirements" / "own.txt"

    lock.write_text("# made by make lock\n")
    until(lambda: "start `make run` again to install your libraries" in own.output)

    lock.unlink()


def test_processes_of_a_killed_run_end_by_themselves(own: Stack) -> None:
    children = own.processes()

    own.stop(signal.SIGKILL)

    until(lambda: not [pid for pid in children if _alive(pid)])


def test_chalice_local_works_after_sourcing_the_environment(stack: Stack) -> None:
    port = free_port()
    chalice = Path(sys.executable).with_name("chalice")
    server = subprocess.Popen(
        ["sh", "-c", f'. .local/env; exec "{chalice}" local --no-autoreload --port {port}'],
        cwd=stack.project,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: _answers(f"http://127.0.0.1:{port}/health"))
        by_hand = Stack(stack.project, PORT=str(port))
        order = by_hand.place("cook_nuggets", {"pieces": 1})
        assert stack.ended_order(order["id"])["status"] == "SUCCESS"
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"PORT": "taken"}, ["is taken", "make run PORT="]),
        ({"CLOUD_PORT": "taken"}, ["is taken", "make run CLOUD_PORT="]),
        ({"RESEND_AFTER_S": "soon"}, ["RESEND_AFTER_S='soon'", "whole number"]),
    ],
)
def test_a_failed_start_names_the_fix(
    project: Path, options: dict[str, str], words: list[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        settings = {name: port if value == "taken" else value for name, value in options.items()}
        ended = _run(
            project, **{"PORT": str(free_port()), "CLOUD_PORT": str(free_port()), **settings}
        )

    assert ended.returncode == 1
    assert all(word in ended.stdout for word in words), ended.stdout
    assert "Traceback" not in ended.stdout
    port_file = project / ".local" / "cloud-port"
    assert not port_file.exists()  # nothing is stored yet, so the next run may use another port


def _run(project: Path, **options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dev", "run"],
        cwd=project,
        env=environment(**options),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout
    return not state.strip().startswith("Z")  # a zombie is dead


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
