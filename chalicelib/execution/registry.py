"""The registry of tasks: `@task` declares a function, and its type hints are its API.

An order's input is checked against them before it is accepted. A parameter of type Context takes the order's context,
and is no part of the input.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar, overload

from cronsim import CronSim, CronSimError

from chalicelib import config
from chalicelib.errors import InvalidInput, TaskMistake, UnknownTask
from chalicelib.execution.context import Context
from chalicelib.execution.signature import Signature, as_json, place_of

SHORTEST_PERIOD_S = 60  # how often the sweeper looks
Function = TypeVar("Function", bound=Callable[..., Any])
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_registry: dict[str, Task] = {}


@dataclass(frozen=True)
class Task:
    """A registered function and how it is run. Durations are in seconds."""

    name: str
    function: Callable[..., Any]
    signature: Signature
    max_attempts: int
    timeout_s: float | None
    retry_on: tuple[type[BaseException], ...]
    no_retry_on: tuple[type[BaseException], ...]
    backoff_s: float
    max_backoff_s: float
    every_s: float | None
    cron: str | None

    @property
    def description(self) -> str:
        return inspect.getdoc(self.function) or ""

    def run(self, text: str, context: Context) -> str:
        """Call the function with an input's JSON text; its result as JSON text."""
        return as_json(self.function(**self.signature.arguments(text, context)))

    def retries(self, error: BaseException) -> bool:
        """Whether another attempt may mend what this one died of."""
        return isinstance(error, self.retry_on) and not isinstance(error, self.no_retry_on)


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
) -> Callable[[Function], Function]: ...


def task(function: Function | None = None, **options: Any) -> Any:
    """Register a function under its name. It stays the plain function that it is, callable in a test.

    max_attempts   how often it may start, crashes included; 5
    timeout_s      after so many seconds an attempt ends with time_limit; the worker function's own limit
    retry_on       the exceptions that another attempt may mend; all
    no_retry_on    those that none can: the order fails at once; none
    backoff_s      before attempt n + 1 a random wait of at most backoff_s * 2^(n-1) seconds; 2
    max_backoff_s  and of at most so many; 3600
    every_s, cron  place an order for it every so many seconds, or by five cron fields in UTC (`0 6 * * mon`); the first
                   is for the first tick after the deploy

    Raises TaskMistake, at import, for a name twice or an option that can't work.
    """
    if function is None:
        return lambda function: task(function, **options)
    made = _declare(function, **options)
    if made.name in _registry:
        raise TaskMistake(
            f"two tasks are called {made.name!r}: {place_of(_registry[made.name].function)} and"
            f" {place_of(function)}; rename one"
        )
    _registry[made.name] = made
    return function


def find(name: str) -> Task:
    """Raises UnknownTask, which lists the known ones."""
    if name not in _registry:
        raise UnknownTask(name, sorted(_registry))
    return _registry[name]


def known() -> Mapping[str, Task]:
    return dict(sorted(_registry.items()))


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
) -> Task:
    name, settings = function.__name__, config.settings()
    if not _NAME.fullmatch(name) or inspect.iscoroutinefunction(function):
        raise TaskMistake(
            f"{place_of(function)}: a task is a plain `def`, its name in lower case, at most 64 letters"
        )
    if not 1 <= max_attempts < settings.max_receives:
        raise TaskMistake(
            f"{name}: max_attempts is {max_attempts}; it goes from 1 to {settings.max_receives - 1}"
            " (MAX_RECEIVES, the queue's own limit, must stay above it)"
        )
    if timeout_s is not None and not 0 < timeout_s < settings.worker_timeout_s:
        raise TaskMistake(
            f"{name}: timeout_s is {timeout_s}; it must be over 0 and under {settings.worker_timeout_s},"
            " the worker function's own timeout (WORKER_TIMEOUT_S)"
        )
    signature = Signature.of(function)
    _check_period(name, signature, every_s, cron)
    return Task(
        name,
        function,
        signature,
        max_attempts,
        timeout_s,
        retry_on,
        no_retry_on,
        backoff_s,
        max_backoff_s,
        every_s,
        cron,
    )


def _check_period(name: str, signature: Signature, every_s: float | None, cron: str | None) -> None:
    if every_s is None and cron is None:
        return
    if every_s is not None and (cron is not None or every_s < SHORTEST_PERIOD_S):
        raise TaskMistake(
            f"{name}: a period is either every_s, of at least {SHORTEST_PERIOD_S} s, or cron"
        )
    try:
        CronSim(cron or "* * * * *", datetime.now(timezone.utc))
        signature.check({})
    except CronSimError as fault:
        raise TaskMistake(
            f"{name}: cron={cron!r}: {fault}; it has five fields, such as `0 6 * * mon`"
        ) from fault
    except InvalidInput as fault:
        raise TaskMistake(
            f"{name}: a periodic task gets no input, so each parameter needs a default"
        ) from fault
