"""The failed orders of a task by the time when they failed, of all owners.

A FAILED row stays in the due index, under partitions of its task that the sweeper never asks for.
So its list costs one write unit for each failure, and nothing for the orders that succeed. The
index is eventually consistent with the table: read the row before you act on an entry.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from chalicelib.clock import Micros
from chalicelib.dispatch import failure_shards
from chalicelib.table import by_due

PAGE = 100  # entries that one call reads


class Failure(NamedTuple):
    """An entry; entries sort by time."""

    at: Micros
    """When the order failed."""
    key: str
    """The row's key."""


def listed(
    task: str, since: Micros, before: Micros, newest_first: bool = False
) -> Iterator[Failure]:
    """Yield a task's failures in [since, before), oldest first, or newest first.

    It reads as it goes, a page of each partition at a time. Raises Unavailable.
    """
    shards = [_entries(shard, since, before, newest_first) for shard in failure_shards(task)]
    return heapq.merge(*shards, reverse=newest_first)


def count(task: str, since: Micros, before: Micros, most: int) -> int:
    """Count a task's failures in [since, before), but stop at `most`. Raises Unavailable."""
    return by_due.count(failure_shards(task), before - 1, since, most)


def _entries(shard: str, since: Micros, before: Micros, newest_first: bool) -> Iterator[Failure]:
    for page in by_due.pages(
        shard, before - 1, since, ScanIndexForward=not newest_first, Limit=PAGE
    ):
        for item in page["Items"]:
            yield Failure(int(item["check_at"]["N"]), item["pk"]["S"])
