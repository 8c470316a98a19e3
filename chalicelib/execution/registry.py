"""The registry of tasks: `@task` declares a function, and its type hints are its API.

An order's input is checked against them before the order is accepted. A parameter of type Context
gets the order's context and is not part of the input.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar, overload

from msgspec import Struct
from msgspec.structs import asdict

from chalicelib import config
from chalicelib.errors import InvalidInput, TaskMistake, UnknownTask
from chalicelib.execution.context import Context
from chalicelib.execution.file import Store, files_in
from chalicelib.execution.signature import Signature, as_json, qualified_name
from chalicelib.orders import BUILT_IN

MIN_PERIOD_S = 60  # the sweeper's own period
MIN_PER_MINUTE = 0.0007
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
MAX_PER_MINUTE = 60_000
Function = TypeVar("Function", bound=Callable[..., Any])
_EXAMPLES = "chalicelib.tasks.examples."
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_registry: dict[str, Task] = {}


class Task(Struct, frozen=True, dict=True):
    """A registered function and its options, which `task` describes. Durations are in seconds."""

    name: str
    function: Callable[..., Any]
    max_attempts: int
    timeout_s: float | None
    retry_on: tuple[type[BaseException], ...]
    no_retry_on: tuple[type[BaseException], ...]
    backoff_s: float
    max_backoff_s: float
    every_s: float | None
    cron: str | None
    lane: str
    per_minute: float | None

    @functools.cached_property
    def signature(self) -> Signature:
        """The function's parameters, made when they are first needed."""
        return Signature.of(self.function)

    @property
    def description(self) -> str:
        """The function's docstring."""
        import inspect  # noqa: PLC0415  slow to import, and few requests need it

        return inspect.getdoc(self.function) or ""

    @property
    def is_example(self) -> bool:
        """Whether the task comes with Orderline."""
        return self.function.__module__.startswith(_EXAMPLES)

    def run(self, text: str, context: Context, files: Store | None = None) -> str:
        """Call the function with the JSON text of an input; return its result as JSON text.

        Its new files are stored first. Raises whatever the function raises, and FileUnavailable.
        """
        result = self.function(**self.signature.arguments(text, context, files))
        text = as_json(result)
        if files and '"file"' in text:  # most results have none, and are not searched for files
            for file in files_in(result):
                files.save(file)
        return text

    def retries(self, error: BaseException) -> bool:
        """Return True if an attempt that ended with this error may be retried."""
        if isinstance(error, TaskMistake):  # the code is wrong: it would fail again
            return False
        return isinstance(error, self.retry_on) and not isinstance(error, self.no_retry_on)


def built_in(name: str, **options: Any) -> Callable[[Function], Function]:
    """Register a task of Orderline's own, which no list of tasks has.

    The dot in `orderline.<name>` keeps it apart from every name of a function. Its options are fit
    for all settings, so those never keep the app from being imported.
    """

    def register(function: Function) -> Function:
        own = {**asdict(_declare(function, max_attempts=1)), **options}
        most = config.settings().max_receives - 1
        own["max_attempts"] = min(options.get("max_attempts", 5), most)
        own["name"] = f"{BUILT_IN}{name}"
        _registry[own["name"]] = Task(**own)
        return function

    return register


@overload
def task(function: Function) -> Function: ...
@overload
def task(
    *,
    max_attempts: int = ...,
    timeout_s: float | None = ...,
    retry_on: tuple[type[BaseException], ...] = ...,
    no_retry_on: tuple[type[BaseException], ...] = ...,
    backoff_s: float = ...,
    max_backoff_s: float = ...,
    every_s: float | None = ...,
    cron: str | None = ...,
    lane: str = ...,
    per_minute: float | None = ...,
) -> Callable[[Function], Function]: ...


def task(function: Function | None = None, **options: Any) -> Any:
    """Register a function as a task under its name. It stays a plain function, callable in a test.

    Args:
        function: the function, when used as `@task` without options
        max_attempts: maximum number of attempts, including crashed ones; default 5
        timeout_s: seconds after which an attempt ends with the error `time_limit`; default: shortly
            before the worker function's own timeout
        retry_on: exceptions after which the task is attempted again; default: all
        no_retry_on: exceptions that fail the order at once; default: none
        backoff_s: the wait before attempt n + 1 is random, at most backoff_s * 2^(n-1) seconds;
            default 2
        max_backoff_s: upper limit of that wait, in seconds; default 3600
        every_s: place an order at this interval, in seconds, from the first tick after a deploy
        cron: place orders by five cron fields in UTC, such as `0 6 * * mon`
        lane: the lane that runs the task, declared in orderline.yaml; default: `default`
        per_minute: maximum number of orders that start in any 60 seconds, by all workers together;
            later attempts of an order are not counted. Default: no limit

    A task with the name of an example replaces it, so that no example of a later version can break
    your app. Raises TaskMistake, at import, if another task has the name or an option is not valid.
    """
    if function is None:
        return lambda function: task(function, **options)
    new_task = _declare(function, **options)
    existing = _registry.get(new_task.name)
    if existing and existing.is_example == new_task.is_example:
        raise TaskMistake(
            f"two tasks are called {new_task.name!r}: {qualified_name(existing.function)} and"
            f" {qualified_name(function)}; rename one"
        )
    if not (existing and new_task.is_example):  # whichever of the two was imported first
        _registry[new_task.name] = new_task
    return function


def find(name: str) -> Task:
    """Return the task of a name. Raises UnknownTask, which lists all tasks, if there is none."""
    if name not in _registry:
        raise UnknownTask(name, list(known()))
    return _registry[name]


def lane_of(name: str) -> str:
    """Return the lane of a task; the default lane for one that this version doesn't have.

    Orderline's own tasks are there too if their lane is switched off.
    """
    lane = _registry[name].lane if name in _registry else config.DEFAULT_LANE
    if is_built_in(name) and lane not in config.settings().timeouts:
        return config.DEFAULT_LANE
    return lane


def known() -> Mapping[str, Task]:
    """Return all tasks but Orderline's own, by name in alphabetical order."""
    return {name: _registry[name] for name in sorted(_registry) if not is_built_in(name)}


def is_built_in(name: str) -> bool:
    """Return True if the task is one of Orderline's own."""
    return name.startswith(BUILT_IN)


def exists(name: str) -> bool:
    """Return True if this version has the task."""
    return name in _registry


def _declare(
    function: Callable[..., Any],
    max_attempts: int = 5,
    timeout_s: float | None = None,
    retry_on: tuple[type[BaseException], ...] = (BaseException,),
    no_retry_on: tuple[type[BaseException], ...] = (),
    backoff_s: float = 2,
    max_backoff_s: float = 3600,
    every_s: float | None = None,
    cron: str | None = None,
    lane: str = config.DEFAULT_LANE,
    per_minute: float | None = None,
) -> Task:
    new_task = Task(
        function.__name__,
        function,
        max_attempts,
        timeout_s,
        retry_on,
        no_retry_on,
        backoff_s,
        max_backoff_s,
        every_s,
        cron,
        lane,
        per_minute,
    )
    # In Lambda the package was checked already, and during a deploy the settings are older. Without
    # the check a cold start is shorter
    if not config.aws().in_lambda:
        _check(new_task)
    return new_task


def _check(task: Task) -> None:
    import inspect  # noqa: PLC0415

    if not _NAME.fullmatch(task.name) or inspect.iscoroutinefunction(task.function):
        raise TaskMistake(
            f"{qualified_name(task.function)}: a task must be a plain `def`"
            " with a name in lower case of at most 64 characters"
        )
    _check_limits(task.name, task.max_attempts)
    _check_lane(task.name, task.lane, task.timeout_s)
    _check_rate(task.name, task.per_minute)
    _check_period(task.name, task.signature, task.every_s, task.cron)


def _check_limits(name: str, max_attempts: int) -> None:
    settings = config.settings()
    if not 1 <= max_attempts < settings.max_receives:
        raise TaskMistake(
            f"{name}: max_attempts is {max_attempts}; it must be"
            f" from 1 to {settings.max_receives - 1} (below MAX_RECEIVES, the queue's own limit)"
        )


def _check_lane(name: str, lane: str, timeout_s: float | None) -> None:
    timeouts = config.settings().timeouts
    if lane not in timeouts:
        raise TaskMistake(
            f"{name}: there is no lane {lane!r}, only {', '.join(timeouts)}; declare it under"
            " `lanes:` in orderline.yaml (without `make run`: in the setting LANES)"
        )
    setting = "WORKER_TIMEOUT_S" if lane == config.DEFAULT_LANE else f"timeout_s of the lane {lane}"
    if timeout_s is not None and not 0 < timeout_s < timeouts[lane]:
        raise TaskMistake(
            f"{name}: timeout_s is {timeout_s}; it must be over 0 and under"
            f" {timeouts[lane]}, the worker function's own timeout ({setting})"
        )


def _check_rate(name: str, per_minute: float | None) -> None:
    if per_minute is not None and not MIN_PER_MINUTE <= per_minute <= MAX_PER_MINUTE:
        raise TaskMistake(
            f"{name}: per_minute is {per_minute}; it must be from {MIN_PER_MINUTE} (about one a"
            f" day) to {MAX_PER_MINUTE} (a row of DynamoDB takes 1,000 writes a second)"
        )


def _check_period(name: str, signature: Signature, every_s: float | None, cron: str | None) -> None:
    if every_s is None and cron is None:
        return
    from cronsim import CronSim, CronSimError  # noqa: PLC0415  most apps have no periodic task

    if every_s is not None and (cron is not None or every_s < MIN_PERIOD_S):
        raise TaskMistake(
            f"{name}: set either every_s, to at least {MIN_PERIOD_S} seconds, or cron"
        )
    try:
        CronSim(cron or "* * * * *", datetime.now(timezone.utc))
        signature.check({})
    except CronSimError as error:
        raise TaskMistake(
            f"{name}: cron={cron!r}: {error}; it has five fields, such as `0 6 * * mon`"
        ) from error
    except InvalidInput as error:
        raise TaskMistake(
            f"{name}: a periodic task gets no input, so each parameter needs a default"
        ) from error
