"""Build the row of an order from a request: check its input, and store what is large in files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from chalicelib import clock, config, ending, files, ids, prerequisites
from chalicelib.clock import SECOND, Micros
from chalicelib.dispatch import Dispatch, plan
from chalicelib.errors import TooLarge
from chalicelib.execution.file import complete
from chalicelib.orders import UNKNOWN, Order, Status
from chalicelib.table import slots
from chalicelib.tasks import Task, find

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_SORTED_JSON = json.JSONEncoder(sort_keys=True)


class NewOrder(Struct, frozen=True):
    """A request to place an order."""

    task: str
    """Name of the task to run."""
    input: Any
    """The task's keyword arguments, as decoded JSON."""
    delay_s: float | None = None
    """Seconds from now until the first attempt; None: `run_at` decides."""
    run_at: Micros | None = None
    """Earliest time of the first attempt; None: at once."""
    id: str | None = None
    """Reference number; None: a random one."""
    after: tuple[str, ...] = ()
    """Ids of the orders that it waits for."""
    when: str = "success"
    """How those must end: `success`, or `end` for any end."""
    notify: tuple[str, ...] = ()
    """Names of the webhook endpoints to tell of its end."""

    def fingerprint(self) -> str:
        """Return a hash that is equal for equal requests, whatever the order of their members."""
        request = [self.task, self.input, self.delay_s, self.run_at]
        if self.after:
            request += [self.after, self.when]
        if self.notify:
            request.append({"notify": self.notify})
        return hashlib.sha256(_SORTED_JSON.encode(request).encode()).hexdigest()[:32]


def build(
    owner: str, new_order: NewOrder, parent: Order | None, rows: Mapping[str, Order]
) -> tuple[Order, Dispatch]:
    """Check a request; return the order to store, and how its message will be sent.

    `parent` is the order whose task places it, if one does; `rows` are its prerequisites.
    """
    task = find(new_order.task)
    now = clock.now()
    run_at = now + int(new_order.delay_s * SECOND) if new_order.delay_s else new_order.run_at
    run_at = run_at if run_at and run_at > now else None
    waits_for = prerequisites.unmet(new_order.after, new_order.when, rows)
    starts_at = _start(run_at, rows.values(), now)
    text, input_file = _input(owner, task, new_order.input, starts_at, waits=bool(waits_for))
    order_id = new_order.id or ids.new_id()
    dispatch = plan(order_id, now, UNKNOWN if waits_for else run_at)
    order = Order(
        owner=owner,
        id=order_id,
        task=new_order.task,
        input=text,
        input_file=input_file,
        status=Status.PENDING,
        created_at=now,
        updated_at=now,
        run_at=UNKNOWN if waits_for else run_at,
        max_attempts=task.max_attempts,
        fingerprint=new_order.fingerprint(),
        fence=ids.new_fence(),
        check_at=dispatch.check_at,
        check_shard=dispatch.check_shard,
        after=new_order.after or None,
        when=new_order.when if new_order.after else None,
        waits_for=waits_for,
        notify=new_order.notify or None,
        parent=parent.id if parent else None,
        depth=max((row.depth + 1 for row in (*rows.values(), parent) if row), default=0),
    )
    if waits_for or parent is None or ending.as_worker_of(parent)(order):
        return order, dispatch
    return replace(order, check_at=now), dispatch.by_sweeper(now)


def _input(
    owner: str, task: Task, value: Any, starts_at: Micros, waits: bool
) -> tuple[str, str | None]:
    """Check an input and its files. Return its JSON, or "" and the id of the file that holds it."""
    if found := task.signature.check(value):
        files.check(owner, found, starts_at)
        value = json.loads(json.dumps(value))  # a copy: the fingerprint is of what was sent
        complete(value, found)
    text = _JSON.encode(value)
    input_file = _spill(owner, text, starts_at, waits)
    return "" if input_file else text, input_file


def _start(run_at: Micros | None, prerequisites: Iterable[Order], now: Micros) -> Micros:
    """Return the earliest time at which an order may start, as far as that is known."""
    times = [row.run_at for row in prerequisites if row.run_at and not row.status.final]
    return max([run_at or now, *(time for time in times if time != UNKNOWN)])


def with_slot(order: Order, dispatch: Dispatch, per_minute: float) -> tuple[Order, Dispatch]:
    """Reserve the slot of a new order. It is the last thing before the row is written.

    The worker reserves it if the order runs later, since all others would wait for it too, and if
    the sweeper sends the message.
    """
    if order.run_at or dispatch.delay_s is None:
        return order, dispatch
    slot_at = slots.reserve(order.task, per_minute)
    dispatch = plan(order.id, clock.now(), order.run_at, slot_at)
    check = {"check_at": dispatch.check_at, "check_shard": dispatch.check_shard}
    return replace(order, slot_at=slot_at, **check), dispatch


def _spill(owner: str, text: str, run_at: Micros, waits: bool) -> str | None:
    """Store a large input in a file. Return the file's id, or None if the row will hold the input.

    An order that runs after the file's end has its input in the row, and one that may, because it
    waits for others, if a row can hold it. Raises TooLarge.
    """
    settings = config.settings()
    size = len(text.encode())
    if size > settings.max_input_bytes:
        raise TooLarge(f"{settings.max_input_bytes} bytes of JSON (the setting MAX_INPUT_BYTES)")
    if size <= (config.MAX_INLINE_BYTES if waits else settings.spill_bytes):
        return None
    if files.lasts_until(run_at):
        return files.OrderFiles(owner).save_text(text)
    if size > config.MAX_INLINE_BYTES:
        raise TooLarge(
            f"{config.MAX_INLINE_BYTES} bytes of JSON if the order runs so late that a file would"
            " be deleted before (the setting FILE_DAYS)"
        )
    return None


def renew_files(order: Order, task: Task) -> None:
    """Make the files of an order outlive another round. Raises FileMissing if one is gone."""
    now = clock.now()
    run_at = now if order.run_at in (None, UNKNOWN) else max(now, order.run_at)
    if order.input_file:
        files.keep(order.owner, order.input_file, run_at, "/input")
    if task.signature.file_hints:
        text = with_texts(order, with_input=True).input
        files.check(order.owner, task.signature.files(text), run_at)


def with_texts(order: Order, with_input: bool = False) -> Order:
    """Return an order with its result, and its input if asked for, also if they are in files.

    Raises Unavailable.
    """
    if order.result_file is None and not (with_input and order.input_file):
        return order
    store = files.OrderFiles(order.owner)
    if order.result_file:
        order = replace(order, result=store.text("", order.result_file))
    if with_input:
        order = replace(order, input=store.text(order.input, order.input_file))
    return order
