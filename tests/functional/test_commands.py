"""`orderline place` and its companions, as a script uses them."""

from __future__ import annotations

import base64
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from orderline.commands import main

from chalicelib import ending
from chalicelib.orders import Progress
from chalicelib.table import stops, transitions
from chalicelib.tasks import task
from testkit import Cloud
from tests.acceptance.stack import PATIENCE_S, until
from tests.kit.front import Front, serving

ROOT = Path(__file__).parents[2]


class Terminal:
    """A shell that runs commands with the server's address and a token in the environment."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.environment = {
            "ORDERLINE_URL": front.url,
            "ORDERLINE_TOKEN": front.cloud.token,
            "LOCAL": ".nowhere",
            "COLUMNS": "120",
            "PYTHONPATH": str(ROOT / "client"),
        }

    def type(self, *words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, words, input=stdin, env=self.environment)

    def json(self, *words: str, stdin: str = "") -> Any:
        result = self.type(*words, "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


class Screen:
    """A command that believes it has a terminal."""

    def __init__(self, process: subprocess.Popen[bytes], controller: int) -> None:
        self._process = process
        self._controller = controller
        self.text = ""

    def reads(self, words: str, within_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + within_s
        while words not in self.text:
            ready, _, _ = select.select([self._controller], [], [], max(0, end - time.monotonic()))
            assert ready, f"{words!r} was not shown within {within_s} s: {self.text}"
            self.text += os.read(self._controller, 65536).decode(errors="replace")

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    @property
    def exit_code(self) -> int:
        return self._process.wait(PATIENCE_S)


@contextmanager
def at_a_screen(terminal: Terminal, *words: str) -> Iterator[Screen]:
    controller, screen = pty.openpty()
    environment = {**os.environ, **terminal.environment, "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "orderline", *words],
        cwd=ROOT,
        env=environment,
        stdin=screen,
        stdout=screen,
        stderr=screen,
    )
    os.close(screen)
    try:
        yield Screen(process, controller)
        process.wait(PATIENCE_S)
    finally:
        process.kill()
        os.close(controller)


@pytest.fixture
def terminal(cloud: Cloud) -> Iterator[Terminal]:
    with serving(cloud) as front:
        yield Terminal(front)


def test_the_commands_for_an_order_and_their_exit_codes(cloud: Cloud, terminal: Terminal) -> None:
    order = terminal.json("place", "cook_nuggets", "pieces=3", "sauce=sweet and sour")
    assert order["status"] == "PENDING"
    cloud.drain()
    assert terminal.json("wait", order["id"])["result"]["sauce"] == "sweet and sour"
    assert terminal.json("status", order["id"][-5:].lower())["status"] == "SUCCESS"

    failing = terminal.json("place", "process_email", "message=no email")
    cloud.drain()
    for command in ("status", "wait"):
        assert terminal.type(command, failing["id"], "--json").exit_code == 1
    assert terminal.json("retry", failing["id"])["status"] == "PENDING"
    assert terminal.json("cancel", failing["id"])["status"] == "CANCELLED"
    assert terminal.type("status", failing["id"], "--json").exit_code == 1


def test_an_order_is_placed_after_others(cloud: Cloud, terminal: Terminal) -> None:
    first, second = (terminal.json("place", "cook_nuggets", "pieces=1")["id"] for _ in range(2))
    words = ["place", "cook_nuggets", "pieces=1", "--after", first, "--after", second[-6:].lower()]
    last = terminal.json(*words)
    cleaning = terminal.json(*words, "--when", "end")
    assert [url[-26:] for url in last["links"]["after"]] == [first, second]
    assert terminal.json("stop", first)["status"] == "CANCELLED"
    cloud.drain()

    assert terminal.type("wait", last["id"], "--json").exit_code == 1
    assert terminal.json("wait", cleaning["id"])["status"] == "SUCCESS"


def test_a_running_order_is_stopped_and_not_cancelled(cloud: Cloud, terminal: Terminal) -> None:
    order = terminal.json("place", "cook_nuggets", "pieces=1")
    cloud.claim(order["id"], lease_s=60)
    refused = terminal.type("cancel", order["id"])
    stopped = terminal.json("stop", order["id"][-5:])

    assert (refused.exit_code, "only a PENDING order" in refused.stderr) == (3, True)
    assert (stopped["status"], stopped["stopping"]) == ("RUNNING", True)


def test_a_stop_may_wait_for_the_end(cloud: Cloud, terminal: Terminal) -> None:
    order = terminal.json("place", "cook_nuggets", "pieces=1")
    running = cloud.claim(order["id"], lease_s=60)
    words = [sys.executable, "-m", "orderline", "stop", order["id"], "--wait", "--json"]
    environment = {**os.environ, **terminal.environment}
    stopping = subprocess.Popen(words, cwd=ROOT, text=True, env=environment, stdout=subprocess.PIPE)
    until(lambda: cloud.order(order["id"]).stopping)
    stops.end_stopped(running, None)
    output, _ = stopping.communicate(timeout=PATIENCE_S)

    assert (stopping.returncode, json.loads(output)["status"]) == (1, "CANCELLED")


@pytest.mark.parametrize(
    ("words", "stdin"),
    [(["pieces=2"], ""), (["--input", '{"pieces": 2}'], ""), (["--input", "-"], '{"pieces": 2}')],
)
def test_an_input_comes_from_arguments_an_option_or_stdin(
    cloud: Cloud, terminal: Terminal, words: list[str], stdin: str
) -> None:
    order = terminal.json("place", "cook_nuggets", *words, stdin=stdin)
    assert json.loads(cloud.order(order["id"]).input) == {"pieces": 2}


def test_an_argument_from_a_file_is_its_text_or_its_base64(
    cloud: Cloud, terminal: Terminal, tmp_path: Path
) -> None:
    @task
    def shout(words: str) -> str:
        return words.upper()

    (tmp_path / "mail").write_text("From: a@example.org\n\nHé")
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff")
    email = terminal.json("place", "shout", f"words=@{tmp_path / 'mail'}")
    image = terminal.json("place", "shout", f"words=@{tmp_path / 'picture'}")

    assert json.loads(cloud.order(email["id"]).input)["words"] == "From: a@example.org\n\nHé"
    assert base64.b64decode(json.loads(cloud.order(image["id"]).input)["words"]) == b"\x89PNG\xff"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["place"], "Missing argument"),
        (["place", "cook_nuggets", "pieces"], "KEY=VALUE"),
        (["place", "cook_nuggets", "--input", "{"], "not valid JSON"),
        (["place", "cook_nuggets", "--input", "{}", "pieces=1"], "not both"),
        (["place", "cook_nuggets", "pieces=@/no/such/file"], "No such file"),
        (["place", "cook_nuggets", "--url", "ftp://x", "pieces=1"], "http://"),
        (["place", "cook_nuggets", "pieces=1", "--when", "end"], "--when needs --after"),
        (["place", "cook_nuggets", "pieces=1", "--after", "A", "--when", "never"], "'end'"),
    ],
)
def test_wrong_usage_exits_with_2(terminal: Terminal, words: list[str], message: str) -> None:
    result = terminal.type(*words)
    assert (result.exit_code, message in result.output) == (2, True), result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["place", "cook_nuggets", "pieces=none"], "(at /input/pieces)"),
        (["place", "cook_dinner"], "cook_nuggets"),
        (["status", "0" * 26], "reference number"),
        (["place", "cook_nuggets", "pieces=1", "--after", "0" * 26], f"'{'0' * 26}' (at /after/0)"),
        (["place", "cook_nuggets", "pieces=1", "--after", "0000"], "ends with '0000'"),
        (["place", "cook_nuggets", "pieces=1", "--notify", "main"], "webhooks are off"),
        (["tasks", "--token", "nonsense"], "ORDERLINE_TOKEN"),
        (["tasks", "--url", "http://127.0.0.1:9"], "make run"),
    ],
)
def test_a_refused_request_or_an_unreachable_server_exits_with_3(
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    monkeypatch.setattr("orderline.connect.PATIENCE_S", 0.1)
    result = terminal.type(*words)
    assert (result.exit_code, message in result.stderr) == (3, True), result.output
    assert result.stdout == ""


def test_the_error_for_a_missing_scope_names_it(cloud: Cloud, terminal: Terminal) -> None:
    result = terminal.type(
        "cancel", "0" * 26, "--token", cloud.new_token("kit", scopes=("orders:read",))
    )

    assert result.exit_code == 3
    assert "orders:write" in result.stderr
    assert "every scope" in result.stderr


def test_the_url_and_the_token_may_stand_before_the_command(terminal: Terminal) -> None:
    options = ("--url", terminal.front.url, "--token", terminal.front.cloud.token)
    terminal.environment.update(ORDERLINE_URL="http://127.0.0.1:9", ORDERLINE_TOKEN="ol_other")

    result = terminal.type(*options, "tasks", "--json")

    assert (result.exit_code, "cook_nuggets" in result.output) == (0, True), result.output


def test_in_a_clone_the_command_finds_the_stack_of_make_run(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".local").mkdir()
    (tmp_path / ".local" / "url").write_text(terminal.front.url + "\n")
    (tmp_path / ".local" / "token").write_text(terminal.front.cloud.token + "\n")
    monkeypatch.chdir(tmp_path)
    terminal.environment = {}

    found = terminal.type("tasks", "--json")
    elsewhere = terminal.type("tasks", "--json", "--url", "http://127.0.0.1:9")

    assert (found.exit_code, "cook_nuggets" in found.output) == (0, True), found.output
    # The local token goes only to the local API
    assert (elsewhere.exit_code, "token is required" in elsewhere.output) == (2, True)


def test_without_click_the_library_works_and_the_command_says_what_to_install() -> None:
    without_packages = [sys.executable, "-S"]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "client")}
    library = subprocess.run(
        [*without_packages, "-c", "import orderline"], env=environment, check=False
    )
    command = subprocess.run(
        [*without_packages, "-m", "orderline", "tasks"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert library.returncode == 0
    assert command.returncode == 1
    assert command.stderr == (
        "orderline: the command needs more packages: pip install click rich\n"
    )


def test_without_a_token_the_error_says_how_to_create_one(
    terminal: Terminal,
) -> None:
    terminal.environment["ORDERLINE_TOKEN"] = ""
    result = terminal.type("tasks")
    assert (result.exit_code, "token create" in result.output) == (2, True)


def test_list_takes_a_limit_and_tasks_lists_the_tasks(cloud: Cloud, terminal: Terminal) -> None:
    for pieces in (1, 2):
        terminal.json("place", "cook_nuggets", f"pieces={pieces}")
    assert len(terminal.type("list", "--json").stdout.splitlines()) == 2
    assert len(terminal.type("list", "--json", "--limit", "1").stdout.splitlines()) == 1
    assert "cook_nuggets" in [
        json.loads(line)["name"] for line in terminal.type("tasks", "--json").stdout.splitlines()
    ]


def test_ctrl_c_leaves_the_order_running_and_prints_how_to_find_it(
    cloud: Cloud, terminal: Terminal
) -> None:
    pytest.importorskip("rich")  # requirements.txt alone lacks it
    order = terminal.json("place", "cook_nuggets", "pieces=1")
    waiting = subprocess.Popen(
        [sys.executable, "-m", "orderline", "wait", order["id"], "--json"],
        cwd=ROOT,
        text=True,
        env={**os.environ, **terminal.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    path = f"/orders/{order['id']}"
    until(lambda: [each[1] for each in terminal.front.requests].count(path) > 1)
    waiting.send_signal(signal.SIGINT)
    _, stderr = waiting.communicate(timeout=PATIENCE_S)

    assert (waiting.returncode, stderr.strip().split(": ")[1]) == (
        130,
        f"orderline wait {order['id']}",
    )
    assert cloud.get(order["id"])["status"] == "PENDING"


@pytest.mark.local
def test_a_terminal_shows_the_progress_of_an_order(cloud: Cloud, terminal: Terminal) -> None:
    order = terminal.json("place", "cook_nuggets", "pieces=1")
    running = cloud.claim(order["id"], lease_s=60)
    with at_a_screen(terminal, "wait", order["id"]) as waiting:
        waiting.reads("RUNNING")
        transitions.report(running, Progress(40, "in the oven"))
        waiting.reads("in the oven")
        transitions.succeed(running, '"crisp"')
        waiting.reads('"crisp"')
    assert waiting.exit_code == 0


@pytest.mark.local
def test_a_terminal_shows_that_an_order_waits_for_others_or_is_stopping(
    cloud: Cloud, terminal: Terminal
) -> None:
    first = terminal.json("place", "cook_nuggets", "pieces=1")
    last = terminal.json("place", "cook_nuggets", "pieces=1", "--after", first["id"])
    running = cloud.claim(first["id"], lease_s=60)
    for command in (["status", last["id"]], ["list"]):
        assert "waits for 1" in terminal.type(*command).stdout
    assert "waits for" not in terminal.type("status", first["id"]).stdout
    with (
        at_a_screen(terminal, "wait", first["id"]) as running_first,
        at_a_screen(terminal, "wait", last["id"]) as waiting,
    ):
        waiting.reads("PENDING · waits for 1")
        running_first.reads("RUNNING")
        assert "RUNNING, stopping" in terminal.type("stop", first["id"]).stdout
        running_first.reads("RUNNING, stopping")
        ending.ended(stops.end_stopped(running, None))
        running_first.reads("CANCELLED")
        waiting.reads("prerequisite_failed")
    assert (running_first.exit_code, waiting.exit_code) == (1, 1)


@pytest.mark.local
def test_a_watched_list_updates_itself_until_ctrl_c(cloud: Cloud, terminal: Terminal) -> None:
    with at_a_screen(terminal, "list", "--watch") as watching:
        watching.reads("attempts")
        order = terminal.json("place", "cook_nuggets", "pieces=1")
        watching.reads(order["id"])
        cloud.drain()
        watching.reads("SUCCESS")
        watching.interrupt()
    assert watching.exit_code == 0


@pytest.mark.local
def test_the_output_without_json_is_readable(cloud: Cloud, terminal: Terminal) -> None:
    cooked = terminal.json("place", "cook_nuggets", "pieces=3")
    evil = terminal.json("place", "process_email", 'message="[bold]\\u001b[31m"')
    cloud.drain()
    table = terminal.type("list").stdout
    failed = terminal.type("wait", evil["id"])
    ready = terminal.type("place", "cook_nuggets", "pieces=1")

    assert all(
        words in table
        for words in (cooked["id"], "cook_nuggets", "SUCCESS", "FAILED", "1 of 5", "task_error")
    )
    assert (failed.exit_code, "NotAMessage" in failed.stdout) == (1, True)
    assert "PENDING" in ready.stdout
    assert '"pieces": 3' in terminal.type("status", cooked["id"]).stdout
    assert "sauce?" in terminal.type("tasks").stdout
