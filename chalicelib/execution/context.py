"""The context of a task: the running order's data, and the actions that a task may take for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import monotonic  # bound here: a task may leave time.monotonic patched
from typing import Any, Literal, Protocol

from msgspec import Struct

from chalicelib.errors import TaskMistake
from chalicelib.execution.time_limit import TimeLimit
from chalicelib.orders import Failure, Progress

REPORT_EVERY_S = 1.0  # shortest time between two reports of progress, and between two reads


class Stopped(BaseException):
    """The order's owner asked to stop it.

    It derives from BaseException, so that a task's `except Exception` does not swallow it.
    """


class Done(Struct, frozen=True):
    """An order that another one waited for, as it is now."""

    id: str
    """Its reference number."""
    task: str
    """Name of its task; empty if it expired."""
    status: str
    """SUCCESS, FAILED or CANCELLED; EXPIRED if it was deleted since; open again after a retry."""
    result: Any
    """What its task returned, as decoded JSON; None unless it is SUCCESS."""
    error: Failure | None
    """Why it failed; None unless it is FAILED."""


class Actions(Protocol):
    """What a context does for its order in the table and the queue."""

    def report(self, progress: Progress) -> bool:
        """Store the progress; return True if the order is to be stopped."""

    def is_stopping(self) -> bool:
        """Read whether the order is to be stopped."""

    def place(self, task: str, input: Any, name: str, after: Sequence[str], when: str) -> str:
        """Place a follow-up; return its id."""

    def after(self) -> list[Done]:
        """Read the orders that this one waited for."""


class Context:
    """The context of a running task.

    A task gets it by a parameter of this type: `def export(order: Context, year: int) -> str`.

    Attributes:
        id: the order's reference number
        attempt: number of the running attempt, from 1
        key: idempotency key to pass to services that the task calls; equal for all attempts of a
            retry round
        heard_stop: whether this attempt has heard that its order is to be stopped
    """

    def __init__(self, id: str, attempt: int, key: str, limit_s: float, actions: Actions) -> None:
        """Create a context, as the worker or a test does.

        Args:
            id: the order's reference number
            attempt: number of the attempt, from 1
            key: idempotency key for services that the task calls
            limit_s: seconds from now until the attempt is ended
            actions: does what the task asks for
        """
        self.id = id
        self.attempt = attempt
        self.key = key
        self._end = monotonic() + limit_s
        self._actions = actions
        self._reported_at = float("-inf")
        self._read_at = monotonic()  # the claim has just read the row
        self.heard_stop = False

    def time_left_s(self) -> float:
        """Return the seconds until this attempt is ended with the error `time_limit`."""
        return self._end - monotonic()

    def progress(self, percent: float, word: str = "") -> None:
        """Report progress: 0 to 100 percent, and a word.

        A report within a second of the last one is dropped. Raises Stopped if the owner asked to
        stop the order: let it through, after your own clean-up, and the order ends as CANCELLED.
        """
        now = monotonic()
        if now - self._reported_at >= REPORT_EVERY_S:
            self._reported_at = self._read_at = now
            self.heard_stop |= self._actions.report(
                Progress(round(min(max(percent, 0), 100)), word[:100])
            )
        if self.heard_stop:
            raise Stopped

    @property
    def stopping(self) -> bool:
        """True once the owner asked to stop the order. It is read at most once a second.

        A task that looks here may clean up and return: then its result stands.
        """
        now = monotonic()
        if not self.heard_stop and now - self._read_at >= REPORT_EVERY_S:
            self._read_at = now
            self.heard_stop = self._actions.is_stopping()
        return self.heard_stop

    def check(self) -> None:
        """Raise Stopped if the owner asked to stop the order, TimeLimit if its time is up.

        The time limit interrupts the main thread by itself; other threads of a task call this.
        """
        if self.time_left_s() <= 0:
            raise TimeLimit
        if self.stopping:
            raise Stopped

    def place(
        self,
        task: str,
        input: Any = None,
        name: str = "",
        after: Iterable[str] = (),
        when: Literal["success", "end"] = "success",
    ) -> str:
        """Place a follow-up order and return its id.

        Placing the same name again, in this or a later attempt, returns the same order. Raises the
        errors of POST /orders.

        Args:
            task: name of the task
            input: its keyword arguments
            name: identifies the follow-up within this order; default: the task's name
            after: ids of the orders that it waits for, however many
            when: `success`: if one of those does not succeed, the follow-up fails without a run;
                `end`: it runs after their end, whatever it is
        """
        order_ids = [] if isinstance(after, str) else list(after)
        if isinstance(after, str) or not all(isinstance(id, str) for id in order_ids):
            raise TaskMistake(f"place(after={after!r}): must be a list of ids")
        if when != "success" and not order_ids:
            raise TaskMistake(f"place(when={when!r}): needs after, the orders that must end first")
        value = {} if input is None else input
        upper_ids = [id.upper() for id in order_ids]
        return self._actions.place(task, value, name or task, upper_ids, when)

    def after(self) -> list[Done]:
        """Return the orders that this one waited for, in the order in which they were given.

        They are read when this is called. Raises Unavailable, after which the attempt is retried.
        """
        return self._actions.after()
