"""The checks of every order after a soak: what must hold whatever was killed."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from chalicelib.orders import Attempt, Order
from tests.soak.client import Client, KnownOrder
from tests.soak.stack_control import Run

SQUARING = ("steady", "slow", "flaky", "placing", "filing", "large")
CODES = {
    "failing": {"task_error", "attempts_exhausted"},
    "crashing": {"attempts_exhausted"},
    "sleeping": {"time_limit", "attempts_exhausted"},
    "gathering": {"prerequisite_failed"},
}


def violations(
    clients: list[Client], orders: list[Order], runs: list[Run], files: Mapping[str, bytes]
) -> list[str]:
    """Return a sentence for every broken promise. `files` are the stored files by id."""
    known = {order_id: order for client in clients for order_id, order in client.known.items()}
    rows = {order.id: order for order in orders}
    return [
        *(violation for client in clients for violation in client.violations),
        *(f"lost: {order_id} was accepted" for order_id in known.keys() - rows.keys()),
        *(
            f"no client placed {order.id}"
            for order in orders
            if order.id not in known and order.parent not in known
        ),
        *(text for order in orders for text in _check_order(order, known.get(order.id), files)),
        *(text for order in orders for text in _check_files(order, files)),
        *(text for order in orders for text in _check_stop(order)),
        *(text for order in orders for text in _check_after(order, rows)),
        *_check_follow_ups(orders),
        *_check_runs(runs, rows),
    ]


def _check_order(
    order: Order, known: KnownOrder | None, files: Mapping[str, bytes]
) -> Iterator[str]:
    name = f"{order.id} ({order.task})"
    status = order.status.value
    code = order.error.code if order.error else None
    if not order.status.final:
        yield f"{name} is still {status}"
    if status == "FAILED" and not code:
        yield f"{name} failed without an error"
    if status == "FAILED" and code not in CODES.get(order.task, set()):
        yield f"{name} failed with {code}"
    if status == "SUCCESS" and order.task not in (*SQUARING, "gathering"):
        yield f"{name} can't have succeeded"
    if (
        status == "SUCCESS"
        and known
        and not known.after
        and not _is_square(order, known.number, files)
    ):
        result = order.result_file or order.result
        yield f"{name}: the result is {result}, not the square of {known.number}"
    if order.attempts > order.max_attempts:
        yield f"{name} had {order.attempts} attempts of {order.max_attempts}"
    if known and known.final and not known.retry_pending and known.final["status"] != status:
        yield f"changed: {name} was read as {known.final['status']}, and is {status}"


def _is_square(order: Order, number: int, files: Mapping[str, bytes]) -> bool:
    text = str(number**2)
    if order.task == "filing":
        return hashlib.sha256(text.encode()).hexdigest() in _files_in(order.result)
    if order.task == "large":
        stored = files.get(order.result_file or "", b"null")
        value = files.get(order.input_file or "", b"null")
        return bool(json.loads(stored) == [number**2, (json.loads(value) or {}).get("text")])
    return order.result == text


def _files_in(text: str | None) -> list[str]:
    return re.findall(r'"file": ?"([0-9a-f]{64})"', text or "")


def _check_files(order: Order, files: Mapping[str, bytes]) -> Iterator[str]:
    """Find files that hold an input or a result or that it names, and that are not stored."""
    spilled = [file for file in (order.input_file, order.result_file) if file]
    for file in spilled + _files_in(order.input) + _files_in(order.result):
        if file not in files:
            yield f"{order.id} ({order.task}) names file {file}, which is not stored"
    if order.task == "filing" and not _files_in(order.input):
        yield f"{order.id} has no file"
    if order.task == "large" and not order.input_file:
        yield f"{order.id} has its input in the row"
    if order.task == "large" and order.status.value == "SUCCESS" and not order.result_file:
        yield f"{order.id} has its result in the row"


def _check_stop(order: Order) -> Iterator[str]:
    """Find attempts that began after their order's owner had asked to stop it."""
    name = f"{order.id} ({order.task})"
    if order.stop_at and any(attempt.start > order.stop_at for attempt in _attempts(order)):
        yield f"{name}: an attempt began after the stop"
    if order.status.value == "CANCELLED" and order.attempts and not (order.stop_at or order.error):
        yield f"{name} was cancelled while it ran, and nobody had asked to stop it"


def _check_after(order: Order, rows: Mapping[str, Order]) -> Iterator[str]:
    """Find orders that ran before one that they wait for had ended, or without its result."""
    if not order.after or order.status.value != "SUCCESS":
        return
    name = f"{order.id} ({order.task})"
    before = [rows[order_id] for order_id in order.after]
    first_start = min(attempt.start for attempt in _attempts(order))
    for each in before:
        end = each.history[-1].end if each.history else None
        if each.retry_round == 0 and end and end > first_start:
            yield f"{name} ran before {each.id} had ended"
        if order.when == "success" and each.status.value != "SUCCESS":
            yield f"{name} ran although {each.id} is {each.status.value}"
    results = json.loads(order.result or "null")
    expected = [json.loads(each.result or "null") for each in before]
    if order.when == "success" and results != expected:
        yield f"{name}: the results are {results}, not {expected}"
    if len(results) != len(order.after):
        yield f"{name}: there are {len(results)} results of {len(order.after)}"


def _attempts(order: Order) -> Sequence[Attempt]:
    """Return the attempts of an order's retry round that its history still has."""
    return order.history[-order.attempts :] if order.attempts else ()


def _check_follow_ups(orders: Iterable[Order]) -> Iterator[str]:
    placed = Counter(order.parent for order in orders if order.parent)
    for order in orders:
        child = 0 if order.parent else 1
        expected = {"placing": 2, "filing": child, "large": child}.get(order.task, 0)
        if order.status.value == "SUCCESS" and placed[order.id] != expected:
            yield f"{order.id} placed {placed[order.id]} follow-ups, not {expected}"


def _check_runs(runs: list[Run], rows: dict[str, Order]) -> Iterator[str]:
    starts = Counter((run.key, run.attempt) for run in runs if run.event == "began")
    yield from (
        f"{key} ran attempt {attempt} {times} times"
        for (key, attempt), times in starts.items()
        if times > 1
    )
    per_round = Counter(key for key, _ in starts)
    for key, times in per_round.items():
        order = rows.get(key.split(".")[0])
        if order is None or times > order.max_attempts:
            limit = order.max_attempts if order else "an order that does not exist"
            yield f"{key} ran {times} times, of {limit}"
    yield from _check_overlaps(runs)


def _check_overlaps(runs: list[Run]) -> Iterator[str]:
    """Find runs of an order that began before its previous run had ended."""
    times = {(run.key, run.attempt, run.event): run.at for run in runs}
    for (key, attempt, event), time in times.items():
        previous_end = times.get((key, attempt - 1, "ended"))
        if event == "began" and previous_end is not None and previous_end > time:
            yield f"{key}: attempt {attempt} began before {attempt - 1} had ended"
