"""Periodic tasks: the sweeper places one order for each tick.

An order's id is made from task and tick, so a tick has one order however many sweepers run. The last tick is recorded
in a row that does not expire, after its order was placed: a sweeper that dies in between places the same order again.
The first sweep after a deploy of a task, or of another schedule for it, only records the latest tick: a yearly task
does not run on the day of its deploy. Ticks that passed while no sweeper ran are skipped, and the log says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cronsim import CronSim

from chalicelib import config, logs, orders, service
from chalicelib.errors import Refusal
from chalicelib.orders import SECOND
from chalicelib.table import last_ticks
from chalicelib.table.last_ticks import LastTick
from chalicelib.tasks import Task, known


def place_ticks(now: int) -> None:
    """Place each periodic task's order for its latest tick, unless that has been done. Raises Unavailable."""
    for task in known().values():
        if task.every_s or task.cron:
            _place_tick(task, now)


def _place_tick(task: Task, now: int) -> None:
    tick = last_tick(task, now) or 0
    schedule = f"every {task.every_s:g} s" if task.every_s else f"cron {task.cron}"
    previous = last_ticks.read(task.name)
    current = LastTick(tick, schedule)
    if previous is None or previous.schedule != schedule:
        last_ticks.record(task.name, current, previous)
        return
    if tick <= previous.tick or not _placed(task, tick):
        return
    recorded = last_ticks.record(task.name, current, previous)
    before = last_tick(task, tick - 1)
    if recorded and before and before > previous.tick:
        logs.event("ticks_skipped", task=task.name, tick=tick, before=before)


def _placed(task: Task, tick: int) -> bool:
    """Place the tick's order, whether or not it was there. Return False if it is refused."""
    try:
        service.place(
            config.settings().periodic_owner, service.NewOrder(task.name, {}, id=_id(task, tick))
        )
    except Refusal as refusal:
        logs.event("tick_refused", task=task.name, reason=str(refusal))
        return False
    return True


def last_tick(task: Task, now: int) -> int | None:
    """The latest tick at or before now, in microseconds since 1970; None if there was none within a year.

    `every_s` counts from 1970, so every sweeper counts the same; `cron` has five fields, in UTC.
    """
    if task.every_s:
        step = int(task.every_s * SECOND)
        return now // step * step
    moment = datetime.fromtimestamp(now // SECOND, timezone.utc)
    # A reverse walk begins before its start: a tick at this very second would be missed
    tick = next(CronSim(str(task.cron), moment + timedelta(seconds=1), reverse=True), None)
    return int(tick.timestamp()) * SECOND if tick else None


def _id(task: Task, tick: int) -> str:
    return orders.id_of("tick", task.name, str(tick))
