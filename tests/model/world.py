"""Time, the queue, and what may befall them."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.state import IDLE, LIVE, ROLES, Row, State, Step, add, drop
from tests.model.table import Config, loose


def world(c: Config, s: State) -> Iterator[Step]:
    yield from _queue(c, s)
    yield from _due(c, s)
    yield from _lease(c, s)
    if loose(s.row) and not s.row.run_at and not s.row.old and c.twist != "no GIVE_UP":
        yield Step("GIVE_UP passes", "time", s._replace(row=s.row._replace(old=True)))
    yield from _ttl(s)


def _queue(c: Config, s: State) -> Iterator[Step]:
    r = s.row
    over = {"h": True, "w": r.lease != "live", "l": not r.run_at or r.status not in LIVE}
    for m in sorted(set(s.messages)):
        if over.get(m[0]):
            yield Step(
                "a hidden message is visible", "time", add(drop(s, m), c.messages, "v", m[1])
            )
        if m[0] == "v" and m[1] >= c.max_receives:
            left = drop(s, m)
            yield Step(
                "the queue gives a message up",
                "time",
                add(left, c.messages, "D") if c.dead else left,
            )
        if s.faults:
            yield Step(
                f"a message ({m[0]}) is lost", "fault", drop(s, m)._replace(faults=s.faults - 1)
            )
        if s.faults and m[0] == "l" and not over["l"]:
            early = add(drop(s, m), c.messages, "v", m[1])
            yield Step(
                "a clock is off: a message comes early",
                "fault",
                early._replace(faults=s.faults - 1),
            )
    yield from _doubled(c, s)


def _doubled(c: Config, s: State) -> Iterator[Step]:
    held = {("v", p.n) for p in s.workers if p.n}
    if s.faults and len(s.messages) + sum(p.messages for p in s.workers) < c.messages:
        for m in sorted(held | {("v", m[1]) for m in s.messages if m[0] in "vh"}):
            yield Step(
                "a message is doubled",
                "fault",
                add(s, c.messages, *m)._replace(faults=s.faults - 1),
            )


def _due(c: Config, s: State) -> Iterator[Step]:
    r = s.row
    if r.due == "set" or (r.due == "after" and not r.run_at):
        yield Step("check_at passes", "time", s._replace(row=r._replace(due="due")))
    if r.due == "due" and c.deep:
        yield Step("it is overdue by an hour", "time", s._replace(row=r._replace(due="long")))
    if r.run_at == "far":  # later's check_at: the guard doesn't ask for what was never sent
        due = "long" if r.due == "later" else r.due
        yield Step("run_at is near", "time", s._replace(row=r._replace(run_at="near", due=due)))
    if r.run_at == "near":
        yield Step("run_at passes", "time", s._replace(row=r._replace(run_at="")))


def _lease(c: Config, s: State) -> Iterator[Step]:
    """Lambda kills its function before the lease is over, unless a clock is off."""
    if s.row.lease != "live":
        return
    over = s._replace(row=s.row._replace(lease="over"))
    left = [p for p in s.workers if p.leased]
    dead = over._replace(workers=tuple(sorted(IDLE if p.leased else p for p in s.workers)))
    for n in (n for p in left for n in (p.n, *p.rest, *p.acked)):
        dead = add(dead, c.messages, "h", n)
    yield Step(
        "the lease is over" + (", its worker was killed before" if left else ""), "time", dead
    )
    if left and s.faults:
        late = tuple(sorted(p._replace(leased=False) for p in s.workers))
        yield Step(
            "a clock is off: the lease is over, its worker lives",
            "fault",
            over._replace(workers=late, faults=s.faults - 1),
        )


def _ttl(s: State) -> Iterator[Step]:
    """Rows expire only while every function is idle: they live for a day at least."""
    if any(p != IDLE for role in ROLES for p in getattr(s, role)):
        return
    if s.row.expires == "set":
        yield Step("expires_at passes", "time", s._replace(row=s.row._replace(expires="past")))
    if s.row.expires == "past":
        yield Step(
            "TTL deletes the row",
            "time",
            s._replace(row=Row()),
            "S8" if s.row.status in LIVE else None,
        )
