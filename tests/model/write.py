"""One conditional write: applied, or applied with its answer lost; and the property that it breaks, if any.

S1   a final row changes only by T11, and once it expired only by T1 or TTL
S2   at most one live lease is held, and only its holder writes the row
S3   no (round, attempt) runs twice                    S4   a result is the latest claim's
S5   live rows: a timer, no expires_at, a lease only when RUNNING; final rows: no timer, no lease
S6   a cancelled round never succeeds                  S7   runs of a round <= max_attempts
S8   what was accepted is not absent                   S9   nothing is re-sent before it is due
S10  one press takes effect once                       S11  only T1 makes a row
S12  two orders never share the key `<id>.<created_at>.<retry_round>`
S13  an order runs no earlier than run_at              S14  nothing is sent more than 15 minutes ahead
S15  only what is has_terminal_error is given up
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.model.state import DUE, FINAL, LIVE, ROLES, Proc, Row, State, Step, put, with_slots
from tests.model.table import Config, has_terminal_error

FINISHES = ("T4", "T5", "T6", "T12")


def write(
    c: Config, s: State, t: str, role: str, i: int, p: Proc, row: Row, **changes: Any
) -> tuple[State, str | None]:
    """The row gets a fresh fence: nobody else's token or snapshot is current any more."""
    broken = _broken(c, s, t, getattr(s, role)[i])
    for name in ROLES:
        s = with_slots(
            s,
            name,
            (q._replace(mine=False, latest=q.latest and t != "T3") for q in getattr(s, name)),
        )
    return put(s, role, i, p._replace(mine=True))._replace(row=row, **changes), broken


def _broken(c: Config, s: State, t: str, me: Proc) -> str | None:
    old = s.row
    rules = {
        "S1": old.status in FINAL and t != ("T1" if old.expires == "past" else "T11"),
        "S4": t == "T4" and not me.latest,
        "S6": t == "T4" and bool(s.cancelled >> old.retry_round & 1),
        "S2 (a live lease is broken)": old.lease == "live" and not (t in FINISHES and me.mine),
        "S8": t == "T1" and old.status in LIVE,
        "S9": t == "T9" and old.due not in DUE,
        "S11": t != "T1" and not old.status,
        "S15": t == "T7" and not has_terminal_error(c, old) and c.task != "unknown",
    }
    return next((name for name, broken in rules.items() if broken), None)


def attempted(
    c: Config,
    s: State,
    label: str,
    t: str,
    role: str,
    i: int,
    p: Proc,
    row: Row,
    lost: str = "",
    **changes: Any,
) -> Iterator[Step]:
    """A write whose condition holds. `lost`: where the function stands if the answer is lost and the SDK asks again."""
    new, broken = write(c, s, t, role, i, p, row, **changes)
    yield Step(label, "step", new, broken)
    if s.faults and lost:
        new, broken = write(
            c, s, t, role, i, p._replace(pc=lost), row, faults=s.faults - 1, **changes
        )
        yield Step(f"{label}, answer lost", "fault", new, broken)


def started(c: Config, s: State) -> tuple[State, str | None]:
    """The task starts: the claim's round and attempt go into the bystander's memory."""
    r = s.row
    bit = 1 << (r.retry_round * (c.max_attempts + 1) + r.attempts)
    rules = {
        "S3": s.ran & bit,
        "S7": r.attempts > c.max_attempts,
        "S13": r.run_at,
        "S12": s.keys >> r.retry_round & 1,
    }
    return s._replace(ran=s.ran | bit), next(
        (name for name, broken in rules.items() if broken), None
    )


def invariant(s: State) -> str | None:
    """What holds in every state."""
    r = s.row
    if sum(p.leased for p in s.workers) > 1:
        return "S2 (two live leases)"
    if r.status in LIVE and (r.expires or not r.due or (r.lease and r.status == "PENDING")):
        return "S5 (live)"
    if r.status in FINAL and (r.due or r.lease or not r.expires):
        return "S5 (final)"
    return None
