"""The intake's steps: the client places, cancels, retries; intake.py of the code."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.sender import sends
from tests.model.state import IDLE, MAX_ROUNDS, Proc, Row, State, Step, ended, put
from tests.model.table import Config, holds
from tests.model.write import attempted, write

ROLE = "intakes"
PRESSES = {"T1": 0, "T8": 1, "T11": 2}
DEEDS = {"T1": "places it", "T8": "cancels it", "T11": "retries it"}
PLANNED = {"": "set", "near": "after", "far": "later", "sweeper": "due"}


def intake(c: Config, s: State, i: int, p: Proc) -> Iterator[Step]:
    if p.pc == "idle":
        yield from _presses(c, s, i)
    elif p.pc.endswith("?"):
        yield from _asks_again(c, s, i, p)
    elif p.pc == "send":
        yield from sends(c, s, "intake", ROLE, i)


def _presses(c: Config, s: State, i: int) -> Iterator[Step]:
    saw = Proc(n=s.row.retry_round)
    for t, which in PRESSES.items():
        if s.presses[which] and _can(c, s, t, saw):
            presses = tuple(left - (n == which) for n, left in enumerate(s.presses))
            row, more, pc = _deed(c, s, t)
            for step in attempted(
                c,
                s,
                f"client {DEEDS[t]} ({t})",
                t,
                ROLE,
                i,
                saw._replace(pc=pc),
                row,
                t + "?",
                presses=presses,
                **more,
            ):
                yield step._replace(kind="press", state=_rested(step.state))


def _asks_again(c: Config, s: State, i: int, p: Proc) -> Iterator[Step]:
    """The SDK's hidden retry of a press whose answer was lost."""
    t = p.pc[:-1]
    row, more, pc = _deed(c, s, t)
    if _can(c, s, t, p):
        new, broken = write(c, s, t, ROLE, i, p._replace(pc=pc), row, **more)
        yield Step(f"hidden retry: {t} holds AGAIN", "step", _rested(new), broken or f"S10 ({t})")
    else:
        then = p._replace(pc=pc) if p.mine and pc == "send" else IDLE
        yield Step(f"hidden retry of {t}", "step", put(s, ROLE, i, then))


def _can(c: Config, s: State, t: str, p: Proc) -> bool:
    return holds(c, t, s.row, p) and not (t == "T11" and s.row.retry_round >= MAX_ROUNDS)


def _deed(c: Config, s: State, t: str) -> tuple[Row, dict[str, Any], str]:
    """(the row after it, what else changes, what the intake does next)"""
    r = s.row
    if t == "T8":
        return ended(r, "CANCELLED"), {"cancelled": s.cancelled | 1 << r.retry_round}, "idle"
    if t == "T1":
        row = Row("PENDING", due=PLANNED[c.later], run_at=c.later if c.later != "sweeper" else "")
        keys = s.keys | _ran_rounds(c, s) if c.twist == "the key lacks created_at" else 0
        return (
            row,
            {"ran": 0, "cancelled": 0, "keys": keys},
            "send" if c.later in ("", "near") else "idle",
        )
    forgets = c.twist == "T11 forgets run_at"
    due = "set" if forgets else PLANNED[r.run_at]
    expires = r.expires if c.twist == "T11 keeps expires_at" else ""
    row = r._replace(
        status="PENDING",
        attempts=0,
        retry_round=r.retry_round + 1,
        due=due,
        old=False,
        expires=expires,
    )
    return row, {}, "idle" if r.run_at == "far" and not forgets else "send"


def _ran_rounds(c: Config, s: State) -> int:
    """The retry_round in which a task of this order has run, as bits."""
    width = c.max_attempts + 1
    return sum(1 << n for n in range(MAX_ROUNDS + 1) if s.ran >> n * width & (1 << width) - 1)


def _rested(s: State) -> State:
    """An intake that is done is like any other."""
    return s._replace(intakes=tuple(sorted(IDLE if q.pc == "idle" else q for q in s.intakes)))
