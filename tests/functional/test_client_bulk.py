"""Many orders placed by the client and by `orderline place --each`, over real HTTP."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from orderline import NotReachable, Orderline, RequestRejected, bulk
from orderline.bulk import NewOrder, Outcomes
from orderline.files import INLINE_BYTES

from chalicelib import auth, ids
from chalicelib.tasks import File, task
from dev.packaging.package import ROOT
from testkit import Cloud, Wire
from testkit import wire as faults
from testkit.wire import Call
from tests.acceptance.stack import PATIENCE_S
from tests.functional.test_commands import Terminal, at_a_screen
from tests.kit.front import Front, serving

LARGE = b"x" * (INLINE_BYTES + 1)
LINES = '{"n": 0}\n{"n": 1}\n{"n": 2}\n'


@pytest.fixture(autouse=True)
def tasks(cloud: Cloud) -> None:
    @task
    def note(n: int) -> int:
        return n

    @task
    def measure(file: File) -> int:
        return file.size


@pytest.fixture
def terminal(cloud: Cloud) -> Iterator[Terminal]:
    with serving(cloud) as front:
        yield Terminal(front)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_text(LINES)
    return path


def notes(number: int) -> list[NewOrder]:
    return [("note", {"n": n}) for n in range(number)]


def placed(outcomes: Outcomes) -> list[Any]:
    """Return the members of orders that are all placed."""
    assert not [each for each in outcomes if isinstance(each, RequestRejected)]
    return outcomes


def refusal(outcome: Any) -> RequestRejected:
    assert isinstance(outcome, RequestRejected)
    return outcome


def posts(front: Front) -> list[str]:
    return [path for method, path, _ in front.requests if method == "POST"]


def inputs(cloud: Cloud) -> list[int]:
    return sorted(json.loads(row.input)["n"] for row in cloud.rows())


def test_pairs_and_dicts_are_placed_in_their_order(cloud: Cloud, orderline: Orderline) -> None:
    orders = [*notes(2), {"task": "note", "input": {"n": 2}, "delay_s": 60}]

    outcomes = placed(orderline.place_many(iter(orders)))

    assert [cloud.order(each["id"]).input for each in outcomes] == [
        f'{{"n":{n}}}' for n in range(3)
    ]
    assert [each["status"] for each in outcomes] == ["PENDING"] * 3
    cloud.drain()
    assert [cloud.get(each["id"])["result"] for each in outcomes] == [0, 1, None]


def test_two_calls_are_twice_the_orders_and_the_same_key_is_not(
    cloud: Cloud, orderline: Orderline
) -> None:
    for _ in range(2):
        orderline.place_many(notes(2))
    for replayed in (False, True):
        outcomes = placed(orderline.place_many(notes(2), key="k"))
        assert [each["replayed"] for each in outcomes] == [replayed] * 2

    assert len(cloud.rows()) == 6
    assert outcomes[1]["id"] == ids.id_of("kit", "k.0", "bulk", "1")


def test_a_bulk_whose_answer_is_lost_is_repeated_and_places_each_order_once(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    front.lose = 2

    placed(orderline.place_many(notes(3)))

    assert posts(front) == ["/orders/bulk"] * 3
    assert inputs(cloud) == [0, 1, 2]


def test_a_bulk_is_repeated_while_the_outcome_of_an_order_is_unknown(
    cloud: Cloud, wire: Wire, front: Front, orderline: Orderline
) -> None:
    cloud.http("GET", "/tasks")  # reads the token
    second = len(wire.calls) + 1
    wire.faults = dict.fromkeys(range(second, second + faults.ATTEMPTS), faults.throttled)
    counts: list[int] = []

    outcomes = placed(orderline.place_many(notes(3), progress=counts.append))

    assert [each["replayed"] for each in outcomes] == [True, False, False]
    assert counts == [1, 3]
    assert inputs(cloud) == [0, 1, 2]


def test_an_outcome_that_stays_unknown_raises_an_error_with_the_key(
    cloud: Cloud, wire: Wire, front: Front
) -> None:
    impatient = Orderline(front.url, cloud.token, patience_s=0)
    cloud.http("GET", "/tasks")  # reads the token
    second = len(wire.calls) + 1
    wire.faults = dict.fromkeys(range(second, second + faults.ATTEMPTS), faults.throttled)

    with pytest.raises(NotReachable, match=r"Throttling.*with the key 'k'"):
        impatient.place_many(notes(3), key="k")

    outcomes = placed(impatient.place_many(notes(3), key="k"))
    assert [each["replayed"] for each in outcomes] == [True, False, False]


def test_an_api_that_is_down_raises_an_error_with_a_key_for_the_rest(cloud: Cloud) -> None:
    with serving(cloud) as front:
        url = front.url

    with pytest.raises(NotReachable, match=r"some may be placed already.*with the key '\w{32}'"):
        Orderline(url, cloud.token, patience_s=0).place_many(notes(1))


def test_an_order_that_is_too_large_for_a_request_is_refused_alone(
    cloud: Cloud, orderline: Orderline
) -> None:
    large: NewOrder = ("note", {"n": "x" * 2**20})
    known: list[int] = []

    outcomes = orderline.place_many([*notes(2), large, ("note", {"n": 2})], progress=known.append)

    assert refusal(outcomes[2]).status == 413
    assert [isinstance(each, RequestRejected) for each in outcomes] == [False, False, True, False]
    assert inputs(cloud) == [0, 1, 2]
    assert known == [2, 3, 4]


def test_a_token_that_is_revoked_in_the_middle_raises_an_error_with_the_key(
    cloud: Cloud, front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "MAX_ORDERS", 2)
    orderline = Orderline(front.url, cloud.new_token("anna", scopes=(auth.WRITE,)))

    def revoke(known: int) -> None:
        monkeypatch.setattr(
            orderline._calls, "_token", cloud.new_token("anna", scopes=(auth.READ,))
        )

    with pytest.raises(RequestRejected, match=r"2 orders is known.*with the key 'k'") as rejected:
        orderline.place_many(notes(3), "k", revoke)

    assert rejected.value.status == 403
    with pytest.raises(RequestRejected) as first:
        orderline.place_many(notes(3), "k")
    assert "key" not in str(first.value), "nothing was placed by this call"


def test_a_refused_order_is_returned_with_a_pointer_into_it(
    cloud: Cloud, orderline: Orderline
) -> None:
    outcomes = orderline.place_many(
        [("note", {"n": 0}), ("note", {"n": "x"}), ("none", None), {"task": "note", "x": 1}]
    )

    assert [refusal(each).problem["pointer"] for each in outcomes[1:]] == [
        "/input/n",
        "/task",
        "/x",
    ]
    assert (refusal(outcomes[1]).status, "int" in str(outcomes[1])) == (422, True)
    assert inputs(cloud) == [0]


def test_an_input_that_is_no_object_is_refused_as_it_is(orderline: Orderline) -> None:
    outcomes = orderline.place_many([("note", 0), ("note", [])])

    assert [refusal(each).problem["pointer"] for each in outcomes] == ["/input"] * 2


def test_a_rejected_request_is_raised(front: Front) -> None:
    with pytest.raises(RequestRejected, match="not valid"):
        Orderline(front.url, "ol_nobody").place_many(notes(1))


def test_nothing_is_sent_for_no_orders(front: Front, orderline: Orderline) -> None:
    assert orderline.place_many([]) == []
    assert posts(front) == []


def test_orders_are_sent_by_the_thousand(cloud: Cloud, front: Front, orderline: Orderline) -> None:
    counts: list[int] = []

    outcomes = orderline.place_many((("none", {}) for _ in range(2001)), "k", counts.append)

    assert (len(outcomes), posts(front)) == (2001, ["/orders/bulk"] * 3)
    assert counts == [1000, 2000, 2001]


def test_a_request_has_at_most_900_kb_unless_one_order_has_more(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    sizes = [300_000, 300_000, 290_000, 300_000, 950_000, 10, 10]  # requests of 3, 1, 1 and 2
    outcomes = orderline.place_many([("none", {"x": "x" * size}) for size in sizes])

    assert [refusal(each).problem["type"] for each in outcomes] == ["/problems/unknown-task"] * 7
    assert posts(front) == ["/orders/bulk"] * 4


def test_a_file_that_several_orders_have_is_uploaded_once(
    cloud: Cloud, front: Front, orderline: Orderline
) -> None:
    cloud.upload(LARGE)  # no bucket is needed

    outcomes = placed(orderline.place_many([("measure", {"file": LARGE})] * 2))

    assert posts(front) == ["/files", "/orders/bulk"]
    cloud.drain()
    assert [cloud.get(each["id"])["result"] for each in outcomes] == [len(LARGE)] * 2


def test_each_line_of_a_file_is_placed_once(cloud: Cloud, terminal: Terminal, file: Path) -> None:
    first = terminal.type("place", "note", "--each", str(file))
    again = terminal.type("place", "note", "--each", str(file))

    assert (first.exit_code, first.stdout) == (0, "3 placed, 0 refused\n")
    assert (again.exit_code, again.stdout) == (0, "3 placed (3 of them earlier), 0 refused\n")
    assert inputs(cloud) == [0, 1, 2]


def test_other_lines_another_task_and_again_are_other_orders(
    cloud: Cloud, terminal: Terminal, file: Path
) -> None:
    @task
    def keep(n: int) -> None: ...

    terminal.type("place", "note", "--each", str(file))
    terminal.type("place", "note", "--each", str(file), "--again")
    terminal.type("place", "note", "--each", str(file), "--key", "mine")
    terminal.type("place", "keep", "--each", str(file))
    terminal.type("place", "note", "--each", "-", stdin=LINES + '{"n": 3}')
    terminal.type("place", "note", "--each", "-", stdin=LINES)  # the same lines as the file

    assert len(cloud.rows()) == 4 * 3 + 4


def test_a_summary_and_the_reasons_of_20_refused_lines(terminal: Terminal) -> None:
    lines = '{"n": 0}\n\n' + '{"n": "x"}\r\n' * 25

    result = terminal.type("place", "note", "--each", "-", stdin=lines)

    assert (result.exit_code, result.stdout) == (3, "1 placed, 25 refused\n")
    reasons = result.stderr.splitlines()
    assert len(reasons) == 21
    assert reasons[0].startswith("line 3: the input doesn't fit the task")
    assert reasons[0].endswith("(at /input/n)")
    assert reasons[19].startswith("line 22: ")
    assert reasons[20] == "and 5 more"


def test_json_has_the_outcome_of_each_line(terminal: Terminal) -> None:
    lines = '{"n": 0}\n{"n": "x"}\n'

    result = terminal.type("place", "note", "--each", "-", "--json", stdin=lines)

    first, second = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 3
    assert first == {"line": 1, "id": first["id"], "status": "PENDING", "replayed": False}
    assert (second["line"], second["problem"]["pointer"]) == (2, "/input/n")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"pieces=6", "not valid JSON: Expecting value (column 1)"),
        (b'{"n": NaN}', "NaN is not a JSON number"),
        (b'{"n": "\xff"}', "not valid UTF-8"),
        (b'{"n": "\\ud800"}', "lone surrogate"),
        (b"[" * 100_000, "nested too deep"),
        (b"[1]", "must be an object"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_placed(
    cloud: Cloud, terminal: Terminal, file: Path, line: bytes, reason: str
) -> None:
    file.write_bytes(LINES.encode() + b"\n" + line + b"\n")

    result = terminal.type("place", "note", "--each", str(file))

    assert result.exit_code == 2
    assert f"{file}, line 5: " in result.stderr.replace("\n", "")
    assert reason in result.stderr
    assert cloud.rows() == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--each", "none.jsonl"), "none.jsonl: No such file"),
        (("--each", "-"), "- has no lines"),
        (("--each", "-", "n=1"), "KEY=VALUE can't be combined with --each"),
        (("--each", "-", "--input", "{}"), "--input can't be combined with --each"),
        (("--each", "-", "--again", "--key", "k"), "either --again or --key"),
        (("--again",), "--again needs --each"),
        (("--each", "-", "--when", "end"), "--when needs --after"),
    ],
)
def test_wrong_usage_is_explained(terminal: Terminal, words: tuple[str, ...], reason: str) -> None:
    stdin = "" if reason == "- has no lines" else LINES

    result = terminal.type("place", "note", *words, stdin=stdin)

    assert (result.exit_code, reason in result.stderr) == (2, True), result.stderr


def test_the_other_options_are_those_of_each_order(cloud: Cloud, terminal: Terminal) -> None:
    first = cloud.place("note", {"n": 9})["id"]
    after = ("--after", first[-6:], "--when", "end")
    waiting = terminal.type("place", "note", "--each", "-", *after, "--json", stdin=LINES)
    later = terminal.type("place", "note", "--each", "-", "--delay", "60", "--again", stdin=LINES)
    notify = terminal.type("place", "note", "--each", "-", "--notify", "x", "--again", stdin=LINES)

    rows = [cloud.order(json.loads(line)["id"]) for line in waiting.stdout.splitlines()]
    assert [(row.after, row.when) for row in rows] == [((first,), "end")] * 3
    assert (later.exit_code, sum(row.run_at is not None for row in cloud.rows())) == (0, 6)
    assert (notify.exit_code, "webhooks are off" in notify.stderr) == (3, True)


def test_an_api_that_is_down_is_exit_code_3_with_the_key(
    terminal: Terminal, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orderline.connect.PATIENCE_S", 0)

    result = terminal.type("place", "note", "--each", str(file), "--url", "http://127.0.0.1:9")

    assert (result.exit_code, "with the key" in result.stderr) == (3, True)


def test_a_terminal_shows_a_bar(terminal: Terminal, file: Path) -> None:
    with at_a_screen(terminal, "place", "note", "--each", str(file)) as screen:
        screen.reads("placing")
        screen.reads("3 placed, 0 refused")
        assert screen.exit_code == 0


@pytest.mark.parametrize(
    ("words", "how"),
    [
        ((), "the same command again."),
        (("--again",), r"with --key [0-9a-f]{32} instead of --again"),
    ],
)
def test_ctrl_c_tells_how_to_place_the_rest(
    terminal: Terminal, file: Path, wire: Wire, words: tuple[str, ...], how: str
) -> None:
    placing = subprocess.Popen(
        [sys.executable, "-m", "orderline", "place", "note", "--each", str(file), *words],
        cwd=ROOT,
        env={**os.environ, **terminal.environment},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )

    def interrupt(call: Call) -> None:
        if call.operation == "PutItem":
            wire.gate = None
            placing.send_signal(signal.SIGINT)
            placing.wait(PATIENCE_S)

    wire.gate = interrupt
    _, stderr = placing.communicate(timeout=PATIENCE_S)

    assert placing.returncode == 130
    assert re.search(how, stderr)
    assert "Traceback" not in stderr


def test_wait_counts_how_the_orders_ended(cloud: Cloud, terminal: Terminal, file: Path) -> None:
    @task(max_attempts=1)
    def halve(n: int) -> float:
        return 1 / n

    terminal.type("place", "halve", "--each", str(file))
    cloud.drain()
    result = terminal.type("place", "halve", "--each", str(file), "--wait")

    assert (result.exit_code, result.stdout) == (
        1,
        "3 placed (3 of them earlier), 0 refused\n2 SUCCESS, 1 FAILED\n",
    )
    assert result.stderr.startswith("line 1: order ")
    assert "FAILED: " in result.stderr


def test_wait_succeeds_if_every_order_does(cloud: Cloud, terminal: Terminal, file: Path) -> None:
    terminal.type("place", "note", "--each", str(file))
    cloud.drain()
    result = terminal.type("place", "note", "--each", str(file), "--wait")

    assert (result.exit_code, result.stdout.splitlines()[1]) == (0, "3 SUCCESS, 0 FAILED")


def test_wait_prints_each_order_as_json_and_refused_lines(cloud: Cloud, terminal: Terminal) -> None:
    lines = '{"n": "x"}\n{"n": 1}\n'
    terminal.type("place", "note", "--each", "-", stdin=lines)
    cloud.drain()
    result = terminal.type("place", "note", "--each", "-", "--wait", "--json", stdin=lines)

    refused, order = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.exit_code, refused["line"], refused["problem"]["status"]) == (3, 1, 422)
    assert (order["line"], order["status"], order["done"]) == (2, "SUCCESS", True)


def test_an_interrupted_wait_tells_how_to_wait_again(
    cloud: Cloud, terminal: Terminal, file: Path
) -> None:
    words = ("place", "note", "--each", str(file), "--wait", "--again")
    with at_a_screen(terminal, *words) as screen:
        screen.reads("waiting")
        screen.interrupt()
        screen.reads("instead of --again")
        assert screen.exit_code == 130
    key = screen.text.split("--key ")[1].split()[0]

    cloud.drain()
    result = terminal.type("place", "note", "--each", str(file), "--wait", "--key", key)
    assert result.stdout == "3 placed (3 of them earlier), 0 refused\n3 SUCCESS, 0 FAILED\n"
