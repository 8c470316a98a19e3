"""The registry: a mistake in a declaration is an error at import, in its author's terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from chalicelib.errors import TaskMistake, UnknownTask
from chalicelib.tasks import Context, find, known, task
from chalicelib.tasks.examples.process_email import process_email as _process_email
from dev.packaging.package import ROOT
from tests.kit.actions import NoActions


def test_a_task_remains_a_plain_function() -> None:
    @task(max_attempts=2)
    def double(number: int) -> int:
        """Double the number."""
        return number * 2

    assert double(3) == 6
    double_task = find("double")
    assert (double_task.function, double_task.max_attempts) == (double, 2)
    assert double_task.description == "Double the number."
    context = Context("", 1, "", 1.0, NoActions())
    assert double_task.run('{"number": 3}', context) == "6"


def test_a_task_without_options_has_the_defaults() -> None:
    @task
    def plain() -> None: ...

    plain_task = find("plain")
    assert (plain_task.max_attempts, plain_task.timeout_s) == (5, None)
    assert (plain_task.backoff_s, plain_task.max_backoff_s) == (2, 3600)
    assert plain_task.per_minute is None
    assert plain_task.description == ""
    assert plain_task.retries(ValueError())


@pytest.mark.parametrize("setting", ["MAX_RECEIVES=2", "WORKER_TIMEOUT_S=3"])
def test_the_built_in_tasks_fit_all_settings(setting: str) -> None:
    name, _, value = setting.partition("=")
    code = "import chalicelib.functions.deliveries; from chalicelib.tasks import find; "
    code += "print(find('orderline.deliver_webhook').max_attempts)"
    environment = {**os.environ, name: value, "EXAMPLES": "off"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=False
    )

    assert run.stdout.decode() == ("1\n" if name == "MAX_RECEIVES" else "12\n"), run.stderr.decode()


def test_the_error_for_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownTask, match="cook_nuggets") as caught:
        find("unheard_of")

    assert caught.value.known == sorted(known())


def test_the_registry_cannot_be_changed_from_outside() -> None:
    known().clear()  # type: ignore[attr-defined]

    assert "cook_nuggets" in known()


def test_the_error_for_two_tasks_with_one_name_names_both() -> None:
    @task
    def fry() -> None: ...

    first: object = fry
    with pytest.raises(
        TaskMistake, match=r"fry'.* tests\.unit\.\S+fry and tests\.unit.*rename one"
    ):

        @task
        def fry() -> None: ...

    assert find("fry").function is first


def test_a_task_with_the_name_of_an_example_replaces_it() -> None:
    @task
    def cook_nuggets() -> None: ...

    assert find("cook_nuggets").function is cook_nuggets


def test_an_example_that_is_imported_later_replaces_no_task() -> None:
    @task
    def process_email() -> None: ...

    task(_process_email)

    assert find("process_email").function is process_email


def test_two_examples_cannot_have_one_name() -> None:
    with pytest.raises(TaskMistake, match=r"chalicelib\.tasks\.examples\.process_email"):
        task(_process_email)


@pytest.mark.parametrize(("setting", "there"), [("on", True), ("off", False)])
def test_the_setting_decides_if_there_are_examples(setting: str, there: bool) -> None:
    program = "from chalicelib.tasks import known; print('cook_nuggets' in known())"
    output = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "EXAMPLES": setting},
        check=True,
        capture_output=True,
        text=True,
    ).stdout

    assert output == f"{there}\n"


def _no_hint(pieces) -> None: ...  # type: ignore[no-untyped-def]
def _stars(*pieces: int) -> None: ...
def _more(**pieces: int) -> None: ...
def _in_place(pieces: int, /) -> None: ...
async def waits() -> None: ...
def Shouts() -> None: ...
def ünder() -> None: ...  # noqa: PLC2401
def plain() -> None: ...


plain.__name__ = "x" * 65


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (_no_hint, "parameter 'pieces' needs a type hint"),
        (_stars, "must not be \\*args"),
        (_more, "\\*\\*kwargs"),
        (_in_place, "positional-only"),
        (waits, "a plain `def`"),
        (Shouts, "lower case"),
        (ünder, "lower case"),
        (plain, "at most 64"),
        (lambda: None, "a plain `def`"),
    ],
)
def test_a_function_that_cannot_be_a_task_is_refused(
    function: Callable[..., Any], message: str
) -> None:
    function.__name__ = function.__name__.lstrip("_") or "x"
    before = known()

    with pytest.raises(TaskMistake, match=message):
        task(function)
    assert known() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 0}, "from 1 to 29"),
        ({"max_attempts": 30}, "from 1 to 29"),
        ({"timeout_s": 0}, "over 0"),
        ({"timeout_s": -1}, "over 0"),
        ({"timeout_s": 60}, "under 60"),
        ({"timeout_s": float("nan")}, "over 0"),
        ({"per_minute": 0}, "from 0.0007"),
        ({"per_minute": -1}, "from 0.0007"),
        ({"per_minute": 60_001}, "to 60000"),
        ({"per_minute": float("nan")}, "to 60000"),
        ({"per_minute": float("inf")}, "to 60000"),
    ],
)
def test_an_invalid_option_is_refused(options: dict[str, Any], message: str) -> None:
    def work() -> None: ...

    with pytest.raises(TaskMistake, match=message):
        task(**options)(work)


@pytest.mark.parametrize(
    "options",
    [
        {"max_attempts": 1},
        {"max_attempts": 29},
        {"timeout_s": 59.9},
        {"timeout_s": 0.1},
        {"per_minute": 0.0007},
        {"per_minute": 0.5},
        {"per_minute": 60_000},
    ],
)
def test_an_option_at_its_limit_is_accepted(options: dict[str, Any]) -> None:
    def work() -> None: ...

    task(**options)(work)

    assert find("work")
