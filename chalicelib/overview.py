"""What an operator sees of the orders of all owners.

Every read has a limit, so that a long backlog does not make it slow: counts stop at theirs, and
durations are those of a sample.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from math import ceil

from msgspec import Struct

from chalicelib import clock, config, ids, logs, queue
from chalicelib.clock import SECOND, Micros
from chalicelib.dispatch import QUEUED, SCHEDULED
from chalicelib.errors import Unavailable
from chalicelib.orders import Order, Status
from chalicelib.table import batch_get, by_due, by_time, failures
from chalicelib.table.failures import Failure
from chalicelib.tasks import known

MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR
MAX_FAILURES = 1000  # where the count of a task's failures stops
MAX_OVERDUE = 10_000  # where the count of overdue orders stops
LONGEST_OVERDUE = 100  # orders whose tasks are read
MAX_ENTRIES = 500  # failures that one page of a filtered list looks at
SAMPLE = 200  # latest orders of an owner whose durations are measured


class Lane(Struct, frozen=True):
    """A lane's messages, approximately; None: its queue can't be asked now.

    waiting  visible to workers
    running  in flight: with a worker, or hidden until another attempt
    delayed  to be visible later
    """

    name: str
    waiting: int | None
    running: int | None
    delayed: int | None


class Overdue(Struct, frozen=True):
    """The orders whose check by the sweeper is due.

    count       their number, at most MAX_OVERDUE
    more        True if there may be more
    oldest_s    for how many seconds the longest has been due
    by_task     how many of the LONGEST_OVERDUE are of each task
    """

    count: int
    more: bool
    oldest_s: int
    by_task: Counter[str]


class Failures(Struct, frozen=True):
    """How many orders of a task have failed; each count stops at MAX_FAILURES."""

    last_hour: int
    last_day: int


class Overview(Struct, frozen=True):
    """The state of a stack. `dead_letters` is None if the queue can't be asked now."""

    at: Micros
    lanes: list[Lane]
    dead_letters: int | None
    overdue: Overdue
    failures: dict[str, Failures]


class FailedPage(Struct, frozen=True):
    """A page of failed orders, newest failure first.

    end  the entry after which the next page begins; None on the last page
    """

    orders: list[Order]
    end: Failure | None


class TaskDurations(Struct, frozen=True):
    """The latest orders of a task: how many, how many failed, and milliseconds of each."""

    orders: int
    failed: int
    waiting_ms: list[int]
    running_ms: list[int]


class Sample(Struct, frozen=True):
    """The latest orders of an owner that have ended.

    since     when the oldest of them was placed; None: there are none
    tasks     their durations, by task
    ended     how many ended with each status, by the start of the minute
    """

    orders: int
    since: Micros | None
    tasks: dict[str, TaskDurations]
    ended: dict[Micros, Counter[Status]]


def overview() -> Overview:
    """Return the state of the stack. Raises Unavailable if the table can't be read."""
    now = clock.now()
    lanes = [Lane(name, *_counts(queue.url, name)) for name in config.settings().timeouts]
    (dead, _, _) = _counts(queue.dead_url)
    failed = {name: _failures(name, now) for name in known()}
    return Overview(now, lanes, dead, _overdue(now), failed)


def failed(
    tasks: Iterable[str],
    since: Micros,
    before: Micros,
    limit: int,
    after: Failure | None = None,
    owner: str | None = None,
    code: str | None = None,
) -> FailedPage:
    """Return a page of the orders that failed in [since, before).

    With `owner` or `code` a page may be short or even empty though more pages follow.

    Args:
        tasks: the names of their tasks
        since: the earliest time of the failure
        before: the time before which they failed
        limit: the maximum number of orders
        after: the entry where the page before ended; None for the first page
        owner: only orders of this owner
        code: only orders with this code of their error
    """
    max_entries = MAX_ENTRIES if owner or code else limit
    before = min(before, after.at + 1) if after else before
    listed = (failures.listed(task, since, before, newest_first=True) for task in tasks)
    merged = heapq.merge(*listed, reverse=True)
    rest = (entry for entry in merged if after is None or entry < after)
    # One entry more shows whether there is a next page
    entries = list(islice(rest, max_entries + 1))
    found: list[Order] = []
    for entry, order in _read(entries[:max_entries], owner):
        if order and (code is None or (order.error and order.error.code == code)):
            found.append(order)
        if len(found) == limit:
            return FailedPage(found, entry if entry != entries[-1] else None)
    return FailedPage(found, entries[max_entries - 1] if len(entries) > max_entries else None)


def sample(owner: str, task: str | None = None) -> Sample:
    """Return the durations of an owner's latest orders, of one task or of all."""
    ended = [order for order in by_time.latest(owner, SAMPLE, task) if order.status.final]
    by_task: dict[str, list[Order]] = defaultdict(list)
    by_minute: dict[Micros, Counter[Status]] = defaultdict(Counter)
    for order in ended:
        by_task[order.task].append(order)
        by_minute[order.updated_at // MINUTE * MINUTE][order.status] += 1
    return Sample(
        len(ended),
        min((order.created_at for order in ended), default=None),
        {name: _durations(group) for name, group in sorted(by_task.items())},
        dict(sorted(by_minute.items())),
    )


def percentile(values: Sequence[int], share: float) -> int | None:
    """Return the smallest value that is not below this share of them; None if there are none."""
    return sorted(values)[max(0, ceil(share * len(values)) - 1)] if values else None


def _counts(url: Callable[..., str], *lane: str) -> tuple[int, int, int] | tuple[None, None, None]:
    try:
        return queue.counts(url(*lane))
    except Unavailable as error:  # the rest can be shown all the same
        logs.event("aws_unavailable", reason=str(error))
        return None, None, None


def _failures(task: str, now: Micros) -> Failures:
    last_day = failures.count(task, now - DAY, now + 1, MAX_FAILURES)
    if not last_day:  # most tasks: this saves a call for each
        return Failures(0, 0)
    return Failures(failures.count(task, now - HOUR, now + 1, MAX_FAILURES), last_day)


def _overdue(now: Micros) -> Overdue:
    shards = [*by_due.shards(QUEUED), *by_due.shards(SCHEDULED)]
    longest = list(islice(by_due.overdue(shards, now, LONGEST_OVERDUE), LONGEST_OVERDUE))
    if len(longest) < LONGEST_OVERDUE:
        count = len(longest)
    else:
        count = by_due.count(shards, now, most=MAX_OVERDUE)
    rows = batch_get.brief(key for key, _ in longest)
    oldest_s = (now - longest[0][1]) // SECOND if longest else 0
    by_task = Counter(order.task for order in rows if not order.status.final)
    return Overdue(count, count >= MAX_OVERDUE, oldest_s, by_task)


def _read(entries: list[Failure], owner: str | None) -> Iterator[tuple[Failure, Order | None]]:
    """Yield the entries with their orders, None for one that is not to be shown.

    The index lags behind the table: an order may have been retried meanwhile, or have expired.
    """
    now = clock.now()
    chosen = [entry.key for entry in entries if owner in (None, ids.owner_of(entry.key))]
    rows = {order.key: order for order in batch_get.brief(chosen)}
    for entry in entries:
        order = rows.get(entry.key)
        is_current = order and order.status is Status.FAILED and order.check_at == entry.at
        yield entry, order if order and is_current and not order.expired(now) else None


def _durations(orders: Iterable[Order]) -> TaskDurations:
    group = list(orders)
    waiting = []
    running = []
    for order in group:
        attempts = [each for each in order.history if each.start >= order.began_at]
        if attempts:
            waiting.append((attempts[0].start - order.began_at) // 1000)
            running += [(each.end - each.start) // 1000 for each in attempts[-1:] if each.end]
    failed = sum(order.status is Status.FAILED for order in group)
    return TaskDurations(len(group), failed, waiting, running)
