"""The failed orders of a task by the time when they failed, of all owners.

A FAILED row stays in the due index, under partitions of its task that the sweeper never asks for.
So its list costs one write unit for each failure, and nothing for the orders that succeed. The
index is eventually consistent with the table: read the row before you act on an entry.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from chalicelib.clock import Micros
from chalicelib.dispatch import failure_shards
from chalicelib.table import by_due

_TEXT = re.compile(r"\d{16}#[a-z0-9-]{1,40}#[0-9A-Z]{26}", re.ASCII)
PAGE = 100  # entries that one call reads


class Failure(NamedTuple):
    """An entry; entries sort by time."""

    at: Micros
    """When the order failed."""
    key: str
    """The row's key."""

    @property
    def text(self) -> str:
        """The entry as a text, which sorts as the entry does."""
        return f"{self.at:016d}#{self.key}"

    @classmethod
    def parse(cls, text: str) -> Failure:
        """Return the entry of a text. Raises ValueError."""
        at, _, key = text.partition("#")
        if not _TEXT.fullmatch(text):
            raise ValueError(f"not an entry: {text[:80]!r}")
        return cls(int(at), key)


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
    return by_due.count(failure_shards(task), before - 1, since, most=most)


def _entries(shard: str, since: Micros, before: Micros, newest_first: bool) -> Iterator[Failure]:
    """Yield a shard's entries, those of the same microsecond by their keys.

    DynamoDB returns entries with equal keys of an index in any order. A caller that goes on after
    an entry would miss some.
    """
    for _, entries in groupby(_read(shard, since, before, newest_first), lambda entry: entry.at):
        yield from sorted(entries, reverse=newest_first)


def _read(shard: str, since: Micros, before: Micros, newest_first: bool) -> Iterator[Failure]:
    for page in by_due.pages(
        shard, before - 1, since, ScanIndexForward=not newest_first, Limit=PAGE
    ):
        for item in page["Items"]:
            yield Failure(int(item["check_at"]["N"]), item["pk"]["S"])
