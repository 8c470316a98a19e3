"""What must hold of every order after a soak, whatever was killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from chalicelib.orders import Order
from tests.soak.backstage import Run
from tests.soak.client import Client, Seen

SQUARED = ("steady", "slow", "flaky", "placing")
CODES = {
    "failing": {"task_error", "attempts_exhausted"},
    "crashing": {"attempts_exhausted"},
    "sleeping": {"time_limit", "attempts_exhausted"},
}


def faults(clients: list[Client], orders: list[Order], runs: list[Run]) -> list[str]:
    """Every sentence is a broken promise."""
    seen = {order_id: seen for client in clients for order_id, seen in client.seen.items()}
    rows = {order.id: order for order in orders}
    return [
        *(fault for client in clients for fault in client.faults),
        *(f"lost: {order_id} was accepted" for order_id in seen.keys() - rows.keys()),
        *(
            f"nobody placed {order.id}"
            for order in orders
            if order.id not in seen and order.parent not in seen
        ),
        *(fault for order in orders for fault in _of_order(order, seen.get(order.id))),
        *_follow_ups(orders),
        *_of_runs(runs, rows),
    ]


def _of_order(order: Order, seen: Seen | None) -> Iterator[str]:
    name = f"{order.id} ({order.task})"
    status, code = order.status.value, (order.error or {}).get("code")
    if not order.status.final:
        yield f"{name} is still {status}"
    if status == "FAILED" and not code:
        yield f"{name} failed without a reason"
    if status == "FAILED" and code not in CODES.get(order.task, set()):
        yield f"{name} failed with {code}"
    if status == "SUCCESS" and order.task not in SQUARED:
        yield f"{name} can't have succeeded"
    if status == "SUCCESS" and seen and order.result != str(seen.number**2):
        yield f"{name}: the result is {order.result}, not the square of {seen.number}"
    if order.attempts > order.max_attempts:
        yield f"{name} had {order.attempts} attempts of {order.max_attempts}"
    if seen and seen.final and not seen.late and seen.final["status"] != status:
        yield f"changed: {name} was {seen.final['status']} when it was seen, and is {status}"


def _follow_ups(orders: Iterable[Order]) -> Iterator[str]:
    placed = Counter(order.parent for order in orders if order.parent)
    for order in orders:
        if order.task == "placing" and order.status.value == "SUCCESS" and placed[order.id] != 2:
            yield f"{order.id} placed {placed[order.id]} follow-ups, not 2"


def _of_runs(runs: list[Run], rows: dict[str, Order]) -> Iterator[str]:
    began = Counter((run.key, run.attempt) for run in runs if run.word == "began")
    yield from (
        f"{key} ran attempt {attempt} {times} times"
        for (key, attempt), times in began.items()
        if times > 1
    )
    per_round = Counter(key for key, _ in began)
    for key, times in per_round.items():
        order = rows.get(key.split(".")[0])
        if order is None or times > order.max_attempts:
            yield f"{key} ran {times} times, of {order.max_attempts if order else 'an order that is not there'}"
    yield from _overlaps(runs)


def _overlaps(runs: list[Run]) -> Iterator[str]:
    """Two runs of an order at once."""
    at = {(run.key, run.attempt, run.word): run.at for run in runs}
    for (key, attempt, word), moment in at.items():
        before = at.get((key, attempt - 1, "ended"))
        if word == "began" and before is not None and before > moment:
            yield f"{key}: attempt {attempt} began before {attempt - 1} had ended"
