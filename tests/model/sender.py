"""The steps of those who send messages or see dead ones: sweeper.py and deadletter.py of the code."""

from __future__ import annotations

from collections.abc import Iterator

from tests.model.state import DUE, IDLE, LIVE, Proc, State, Step, add, drop, ended, put, timer
from tests.model.table import Config, has_terminal_error, holds, loose
from tests.model.write import attempted

PLACES = {"": "v", "near": "l", "far": "h"}


def sends(c: Config, s: State, who: str, role: str, i: int) -> Iterator[Step]:
    """T2, after the write. It may fail. What is nearer than 15 minutes is sent with a delay."""
    gone = put(s, role, i, IDLE)
    run_at = s.row.run_at
    yield Step(
        f"{who} sends",
        "step",
        add(gone, c.messages, PLACES[run_at]),
        "S14" if run_at == "far" else None,
    )
    if s.faults:
        yield Step(
            f"{who} crashes before the send, or it fails",
            "fault",
            gone._replace(faults=s.faults - 1),
        )


def sweeper(c: Config, s: State, i: int, p: Proc) -> Iterator[Step]:
    role, r = "sweepers", s.row
    if p.pc == "idle" and (r.due == "long" or (r.due == "due" and not c.deep)):
        yield Step("sweeper lists it as due", "step", put(s, role, i, Proc("listed")))
    elif p.pc == "listed":
        unasked = "due" not in c.rules["T9"].clauses
        is_due = loose(r) and (r.due in DUE or unasked)
        pc = "idle" if not is_due else "T7" if has_terminal_error(c, r) else "T9"
        yield Step(f"sweeper reads the row: {pc}", "step", put(s, role, i, Proc(pc, mine=is_due)))
    elif p.pc in ("T7", "T9") and not holds(c, p.pc, r, p):
        yield Step(f"sweeper's {p.pc} is refused", "step", put(s, role, i, IDLE))
    elif p.pc == "T7":
        yield from attempted(
            c, s, "sweeper gives it up (T7)", "T7", role, i, IDLE, ended(r, "FAILED")
        )
    elif p.pc == "T9":
        due, pc = ("later", "idle") if r.run_at == "far" else (timer(r), "send")
        yield from attempted(
            c, s, "sweeper moves check_at (T9)", "T9", role, i, Proc(pc), r._replace(due=due), "T9?"
        )
    elif p.pc == "T9?":
        then = Proc("send") if p.mine and r.run_at != "far" else IDLE
        yield Step("hidden retry of T9", "step", put(s, role, i, then))
    elif p.pc == "send":
        yield from sends(c, s, "sweeper", role, i)


def deadletter(c: Config, s: State, i: int, p: Proc) -> Iterator[Step]:
    role, r = "dead", s.row
    if p.pc == "idle":
        for m in sorted(m for m in set(s.messages) if m[0] == "D"):
            pc = _read(c, s)
            yield Step(
                f"dead letter is read: {pc}",
                "step",
                put(drop(s, m), role, i, Proc(pc, 1, mine=True)),
            )
        return
    if p.pc == "ack":
        yield Step("dead letter is acked", "step", put(s, role, i, IDLE))
    elif not holds(c, p.pc.rstrip("?"), r, p):
        yield Step(f"dead letter's {p.pc} is refused", "step", put(s, role, i, Proc("ack", 1)))
    elif p.pc == "T7":
        yield from attempted(
            c, s, "dead letter gives it up (T7)", "T7", role, i, Proc("ack", 1), ended(r, "FAILED")
        )
    else:
        due = "later" if r.run_at == "far" else timer(r)
        yield from attempted(
            c,
            s,
            "dead letter moves check_at (T10)",
            "T10",
            role,
            i,
            Proc("ack", 1),
            r._replace(due=due),
            "T10?",
        )
    if s.faults:
        gone = add(put(s, role, i, IDLE), c.messages, "D")
        yield Step("dead-letter function crashes", "fault", gone._replace(faults=s.faults - 1))


def _read(c: Config, s: State) -> str:
    """What the dead-letter function makes of the row. Weakened conditions are tried on whatever it reads."""
    r, rule = s.row, c.rules["T10"]
    if r.status not in LIVE:
        return "T10" if r.status in rule.sources else "ack"
    if r.lease == "live" and "lease" in rule.clauses:
        return "ack"
    return "T7" if c.task == "unknown" or has_terminal_error(c, r) else "T10"
