"""What the operator's API returns. All of these are plain dicts."""

from __future__ import annotations

from typing import Any, TypeAlias, TypedDict

Failure: TypeAlias = "dict[str, Any]"
"""An order as in lists, with its `owner` and `failed_at`."""


class Lane(TypedDict):
    """A lane's messages; None if its queue can't be asked."""

    name: str
    waiting: int | None
    running: int | None
    delayed: int | None


class Overdue(TypedDict):
    """Orders that should have moved. `more`: there are more than `count`."""

    count: int
    more: bool
    oldest_s: int


class TaskCounts(TypedDict):
    """A task's orders that failed lately, and that are overdue. `more`: counting stopped there."""

    name: str
    lane: str
    failed_1h: int
    failed_24h: int
    more: bool
    overdue: int


class Overview(TypedDict):
    """What waits, runs, is overdue and has failed, at a time."""

    at: str
    lanes: list[Lane]
    dead_letters: int | None
    overdue: Overdue
    tasks: list[TaskCounts]


class Retried(TypedDict):
    """What a retry of many orders did.

    `matching` is the number of orders that it looked at; of a dry run, how many it would retry, at
    least if `more` is True. `problems` names some of the refused: `owner`, `id` and `problem`.
    """

    retried: int
    refused: int
    matching: int
    more: bool
    failed_before: str
    problems: list[dict[str, Any]]
