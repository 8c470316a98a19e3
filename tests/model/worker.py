"""The worker's steps: worker.py of the code, one AWS call each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.model.state import IDLE, LIVE, Proc, State, Step, add, drop, ended, put, timer
from tests.model.table import Config, holds
from tests.model.write import attempted, started, write

ROLE = "workers"


@dataclass(frozen=True)
class _Worker:
    c: Config
    s: State
    i: int
    p: Proc

    def steps(self) -> Iterator[Step]:
        pc = self.p.pc
        if pc == "idle":
            yield from self._receives()
            return
        deeds = {
            "got": self._got,
            "T3?": self._claims_again,
            "run": self._runs,
            "T7": self._gives_up,
            "ack": self._acks,
            "hide": self._hides,
            "answer": self._answers,
        }
        yield from self._asks_again() if pc.startswith("fin?") else deeds[pc]()
        if self.s.faults:
            yield from self._faults()

    def _receives(self) -> Iterator[Step]:
        def visible(s: State) -> list[tuple[str, int]]:
            return [m for m in s.messages if m[0] == "v" and m[1] < self.c.max_receives]

        for m in sorted(set(visible(self.s))):
            s, got = drop(self.s, m), Proc("got", m[1] + 1)
            yield Step("worker receives", "step", put(s, ROLE, self.i, got))
            for n in visible(s)[: self.c.batch - 1]:
                s, got = drop(s, n), got._replace(rest=(*got.rest, n[1] + 1))
                yield Step("worker receives a batch", "step", put(s, ROLE, self.i, got))

    def _got(self) -> Iterator[Step]:
        if self.c.task != "known":
            yield self._keeps("worker doesn't know the task", "h")
        else:
            yield from (
                self._claims() if holds(self.c, "T3", self.s.row, self.p) else self._refused()
            )
        if self.p.acked:
            yield self._keeps("worker has no time left for the message", "v")

    def _claims(self) -> Iterator[Step]:
        r = self.s.row
        row = r._replace(status="RUNNING", attempts=r.attempts + 1, lease="live")
        run = self.p._replace(pc="run", leased=True, latest=True)
        for step in attempted(
            self.c, self.s, "worker claims (T3)", "T3", ROLE, self.i, run, row, "T3?"
        ):
            state, twice = (
                started(self.c, step.state) if step.kind == "step" else (step.state, None)
            )
            yield step._replace(state=state, broken=step.broken or twice)

    def _claims_again(self) -> Iterator[Step]:
        """The SDK's hidden retry. Its lease_until < :now asks the clock of the first try."""
        if self.p.mine:
            state, broken = started(self.c, put(self.s, ROLE, self.i, self.p._replace(pc="run")))
            yield Step("hidden retry: the claim was mine", "step", state, broken)
        elif self.s.row.status == "PENDING" and holds(self.c, "T3", self.s.row, self.p):
            yield from self._claims()
        else:
            yield from self._refused()

    def _refused(self) -> Iterator[Step]:
        r = self.s.row
        if r.status not in LIVE or r.run_at:
            yield self._goes("worker meets a final row, no row or run_at ahead", "ack")
        elif r.lease == "live":
            yield self._keeps("worker meets a live lease", "w")
        elif r.attempts >= self.c.max_attempts or r.old:
            yield self._goes("worker meets exhausted attempts", "T7", mine=True)
        else:
            yield self._keeps("worker's claim was refused by what has ended since", "v")

    def _runs(self) -> Iterator[Step]:
        c, s, r = self.c, self.s, self.s.row
        if c.progress and holds(c, "T12", r, self.p):
            state, broken = write(c, s, "T12", ROLE, self.i, self.p, r)
            yield Step("worker reports progress (T12)", "step", state, broken)
        done = self.p._replace(pc="ack", leased=False)
        if not any(holds(c, t, r, self.p) for t in ("T4", "T5", "T6")):
            yield Step("worker's finish is refused", "step", put(s, ROLE, self.i, done))
        for t, status in (("T4", "SUCCESS"), ("T6", "FAILED")):
            if holds(c, t, r, self.p):
                yield from attempted(
                    c,
                    s,
                    f"worker finishes: {status} ({t})",
                    t,
                    ROLE,
                    self.i,
                    done,
                    ended(r, status),
                    "fin?ack",
                )
        if r.attempts < c.max_attempts and holds(c, "T5", r, self.p):
            lease = r.lease if c.twist == "T5 keeps lease_until" else ""
            row = r._replace(status="PENDING", due=timer(r), lease=lease)
            yield from attempted(
                c,
                s,
                "worker puts it back (T5)",
                "T5",
                ROLE,
                self.i,
                done._replace(pc="hide"),
                row,
                "fin?hide",
            )

    def _asks_again(self) -> Iterator[Step]:
        yield self._goes("hidden retry of a finish", self.p.pc[4:] if self.p.mine else "ack")

    def _gives_up(self) -> Iterator[Step]:
        if holds(self.c, "T7", self.s.row, self.p):
            yield from attempted(
                self.c,
                self.s,
                "worker gives it up (T7)",
                "T7",
                ROLE,
                self.i,
                self.p._replace(pc="ack"),
                ended(self.s.row, "FAILED"),
            )
        else:
            yield self._goes("worker's T7 is refused", "ack")

    def _acks(self) -> Iterator[Step]:
        """Lambda deletes a message only once the whole batch is answered."""
        yield Step(
            "worker is done with the message",
            "step",
            self._next(self.s, acked=(*self.p.acked, self.p.n)),
        )

    def _hides(self) -> Iterator[Step]:
        yield self._keeps("worker hides the message for the backoff", "h")

    def _answers(self) -> Iterator[Step]:
        yield Step(
            "worker answers: what is done is deleted", "step", put(self.s, ROLE, self.i, IDLE)
        )

    def _faults(self) -> Iterator[Step]:
        left = self.s.faults - 1
        place = "w" if self.p.leased else "h"
        s = put(self.s, ROLE, self.i, IDLE)._replace(faults=left)
        for n in (*((self.p.n,) if self.p.n else ()), *self.p.rest, *self.p.acked):
            s = add(s, self.c.messages, place, n)
        yield Step(f"worker crashes at {self.p.pc}", "fault", s)
        if self.p.pc in ("got", "run", "T7") and self.p.rest:
            kept = self._keeps("AWS fault: the message is kept, the batch goes on", place)
            yield kept._replace(kind="fault", state=kept.state._replace(faults=left))

    def _goes(self, label: str, pc: str, mine: bool | None = None) -> Step:
        p = self.p._replace(pc=pc, mine=self.p.mine if mine is None else mine)
        return Step(label, "step", put(self.s, ROLE, self.i, p))

    def _keeps(self, label: str, place: str) -> Step:
        """Not acknowledged: it comes back, whatever becomes of the rest of the batch."""
        return Step(
            f"{label}: kept",
            "step",
            add(self._next(self.s, self.p.acked), self.c.messages, place, self.p.n),
        )

    def _next(self, s: State, acked: tuple[int, ...]) -> State:
        """On to the batch's next message, or to the answer."""
        if self.p.rest:
            return put(
                s,
                ROLE,
                self.i,
                Proc("got", self.p.rest[0], rest=self.p.rest[1:], acked=tuple(sorted(acked))),
            )
        return put(s, ROLE, self.i, Proc("answer", acked=tuple(sorted(acked))) if acked else IDLE)


def steps(c: Config, s: State, i: int, p: Proc) -> Iterator[Step]:
    return _Worker(c, s, i, p).steps()
