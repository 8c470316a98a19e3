"""Periodic tasks: the sweeper places an order for each tick, under an id made of task and tick. So however many
sweepers run, a tick has one order. Ticks that nobody was there for are skipped, and the log says so.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cronsim import CronSim

from chalicelib import config, intake, logs, orders, store
from chalicelib.errors import Refusal
from chalicelib.orders import SECOND
from chalicelib.tasks import Task, known


def place_ticks(now: int) -> None:
    """Place each periodic task's order for its latest tick, unless it is placed already."""
    for task in known().values():
        if task.every_s or task.cron:
            _place(task, now)


def _place(task: Task, now: int) -> None:
    client, tick = config.settings().periodic_client, last_tick(task, now)
    if tick is None or store.get(client, _id(task, tick)):
        return
    try:
        intake.place(client, intake.Wanted(task.name, {}, id=_id(task, tick)))
    except Refusal as fault:
        logs.event("tick_refused", task=task.name, reason=str(fault))
        return
    before = last_tick(task, tick - 1)
    if before and now - before < config.settings().keep_s * SECOND and not store.get(client, _id(task, before)):
        logs.event("ticks_skipped", task=task.name, tick=tick, before=before)


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
