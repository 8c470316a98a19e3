"""The shortcuts through ministack give what ministack gives, and replace what it still has."""

from __future__ import annotations

import asyncio
import inspect
import json
import queue
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytestmark = pytest.mark.local

VALUES = {":a": {"S": "a"}, ":b": {"S": "b"}, ":1": {"N": "1"}, ":10": {"N": "10"}}
NAMES = {"#at": "check_at"}
ROWS = [
    {"check_shard": {"S": "a"}, "check_at": {"N": "2"}},
    {"check_shard": {"S": "a"}, "check_at": {"N": "1"}},
    {"check_shard": {"S": "b"}, "check_at": {"N": "10.0"}},
    {"check_shard": {"S": "a"}, "check_at": {"S": "10"}},
    {"check_shard": {"S": "a"}},
]


@pytest.fixture(scope="module")
def shortcuts() -> Any:
    from dev.local import shortcuts  # noqa: PLC0415 imports for a second

    return shortcuts


def test_ministack_still_has_what_the_shortcuts_replace(shortcuts: Any) -> None:
    drain = shortcuts.lambda_runtime.Worker._drain_stderr_bounded

    assert "self._stderr_queue.get_nowait()" in inspect.getsource(drain)
    assert shortcuts.lambda_runtime._PYTHON_WORKER_SCRIPT.count(shortcuts._HANDLER) == 1
    assert "_drain_stderr_bounded()" in inspect.getsource(shortcuts.lambda_runtime.Worker.invoke)
    assert "_evaluate_condition(key_cond, it, eav" in inspect.getsource(shortcuts.dynamodb._query)
    assert "copy.deepcopy(existing)" in inspect.getsource(shortcuts.dynamodb._update_item)


@pytest.mark.parametrize(
    ("condition", "is_compared"),
    [
        ("check_shard = :a", True),
        ("check_shard = :a AND check_at < :10", True),
        ("check_shard = :a AND #at >= :1", True),
        ("check_shard = :a AND check_at BETWEEN :1 AND :10", True),
        ("check_at BETWEEN :1 AND :10 AND check_shard = :b", True),
        ("check_shard = :a AND begins_with(check_shard, :a)", False),
        ("(check_shard = :a) AND check_at > :1", False),
        ("check_shard=:a", False),
    ],
)
def test_a_key_condition_selects_the_rows_that_ministack_selects(
    shortcuts: Any, condition: str, is_compared: bool
) -> None:
    def selected(evaluate: Any) -> list[Any]:
        return [row for row in ROWS if evaluate(condition, row, VALUES, NAMES, slot=slot)]

    slot = "KeyConditionExpression"
    compare = shortcuts._comparing(shortcuts.dynamodb._evaluate_condition)

    assert selected(compare) == selected(shortcuts.dynamodb._evaluate_condition)
    assert bool(shortcuts._comparisons(condition)) is is_compared


def test_a_reserved_word_is_refused_as_before(shortcuts: Any) -> None:
    compare = shortcuts._comparing(shortcuts.dynamodb._evaluate_condition)

    with pytest.raises(ValueError, match="reserved keyword: status"):
        compare("status = :a", ROWS[0], VALUES, NAMES, slot="KeyConditionExpression")


@pytest.mark.parametrize("row", [{"L": [{"S": "a"}, {"B": b"a"}]}, defaultdict(dict, a={"N": "1"})])
def test_a_copy_is_equal_and_shares_nothing(shortcuts: Any, row: Any) -> None:
    copied = shortcuts._copy(row)

    assert copied == row
    assert type(copied) is type(row)
    for name, value in row.items():
        assert copied[name] is not value


def test_a_cached_function_takes_what_has_no_hash(shortcuts: Any) -> None:
    cached = shortcuts._remembering(shortcuts.dynamodb._number_error)

    for number in ("1", "1", "x", ["1"], None):
        assert cached(number) == shortcuts.dynamodb._number_error(number)


def test_all_lines_that_a_function_has_logged_are_in_its_log(shortcuts: Any) -> None:
    lines = queue.Queue[str]()
    for line in ("one", "two", shortcuts._END_OF_RUN, "of the next run", "without an end"):
        lines.put(line)
    worker = SimpleNamespace(_stderr_queue=lines)

    assert shortcuts._log_lines(worker) == "one\ntwo"
    assert shortcuts._log_lines(worker) == "of the next run\nwithout an end"


@pytest.mark.parametrize(
    ("body", "status"), [("print('logged')", "ok"), ("print('logged'); raise ValueError", "error")]
)
def test_a_function_marks_the_end_of_its_run(
    shortcuts: Any, tmp_path: Path, body: str, status: str
) -> None:
    (tmp_path / "app.py").write_text(f"def handle(event, context):\n    {body}\n")
    script = shortcuts.lambda_runtime._PYTHON_WORKER_SCRIPT
    init = {"code_dir": str(tmp_path), "module": "app", "handler": "handle"}

    ended = subprocess.run(
        [sys.executable, "-c", script.replace(shortcuts._HANDLER, shortcuts._MARKED)],
        input=f"{json.dumps(init)}\n{json.dumps({'event': {}})}\n",
        capture_output=True,
        text=True,
        check=True,
    )

    assert ended.stderr.splitlines() == ["logged", shortcuts._END_OF_RUN]
    assert json.loads(ended.stdout.splitlines()[-1])["status"] == status


def test_an_error_inside_the_local_cloud_is_a_500(shortcuts: Any) -> None:
    async def fail(*_: Any) -> Any:
        raise RuntimeError("broken")

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Any) -> None:
        sent.append(message)

    sent: list[Any] = []
    service = SimpleNamespace(handle_request=fail)
    asyncio.run(shortcuts.answer(service, {"x-amz-target": "AmazonSQS.X"}, receive, send))

    assert sent[0]["status"] == 500
    assert b"broken" in sent[1]["body"]
