"""Periodic tasks: the sweeper places one order for each tick.

An order's id is derived from task and tick, so a tick has one order however many sweepers run. The
last tick is recorded in a row that does not expire, after its order was placed: a sweeper that dies
in between places the same order again. The first sweep after a task or a new schedule is deployed
only records the latest tick, so a yearly task does not run on the day of its deploy. Ticks that
passed while no sweeper ran are skipped and logged.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from cronsim import CronSim

from chalicelib import building, config, ids, logs, service
from chalicelib.clock import SECOND, Micros
from chalicelib.errors import Refusal
from chalicelib.table import last_ticks
from chalicelib.table.last_ticks import LastTick
from chalicelib.tasks import Task, known


def place_ticks(now: Micros) -> None:
    """Place each periodic task's order for its latest tick, unless it was placed before.

    Raises Unavailable.
    """
    for task in known().values():
        if task.every_s or task.cron:
            _place_tick(task, now)


def _place_tick(task: Task, now: Micros) -> None:
    tick = last_tick(task, now) or 0
    schedule = f"every {task.every_s:g} s" if task.every_s else f"cron {task.cron}"
    previous = last_ticks.read(task.name)
    current = LastTick(tick, schedule)
    if previous is None or previous.schedule != schedule:
        last_ticks.record(task.name, current, previous)
        return
    if tick <= previous.tick or not _place_order(task, tick):
        return
    recorded = last_ticks.record(task.name, current, previous)
    before = last_tick(task, tick - 1)
    if recorded and before and before > previous.tick:
        logs.event("ticks_skipped", task=task.name, tick=tick, before=before)


def _place_order(task: Task, tick: Micros) -> bool:
    """Place the tick's order if it does not exist yet. Return False if it is rejected."""
    try:
        service.place(
            config.settings().periodic_owner, building.NewOrder(task.name, {}, id=_id(task, tick))
        )
    except Refusal as error:
        logs.event("tick_refused", task=task.name, reason=str(error))
        return False
    return True


def last_tick(task: Task, now: Micros) -> Micros | None:
    """Return the latest tick at or before now; None if there was none in the past 50 years.

    `every_s` counts from 1970, so all sweepers agree; `cron` has five fields, in UTC.
    """
    if task.every_s:
        step = int(task.every_s * SECOND)
        return now // step * step
    moment = datetime.fromtimestamp(now // SECOND, timezone.utc)
    # A reverse iteration excludes its start, so start one second later to include this second
    tick = next(CronSim(str(task.cron), moment + timedelta(seconds=1), reverse=True), None)
    return int(tick.timestamp()) * SECOND if tick else None


def _id(task: Task, tick: Micros) -> str:
    return ids.id_of("tick", task.name, str(tick))
