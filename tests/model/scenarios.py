"""What is walked: scenarios in which nothing may break, and weakened tables in each of which something must."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.explore import Walk, explore
from tests.model.liveness import endless, stuck
from tests.model.table import Config

_CALM = Config(workers=1, messages=2, faults=1)
_PRESSES = Config(workers=1, cancels=1, retries=1, messages=2, faults=1)
_TWICE = replace(_PRESSES, intakes=2)
SCENARIOS = {
    "two workers": Config(),
    "two workers, progress reported": Config(progress=True, messages=2, faults=1),
    "two workers, batches of two": Config(batch=2, faults=1),
    "three attempts": Config(max_attempts=3, messages=2, max_receives=4, faults=1),
    "one attempt": Config(max_attempts=1),
    "two sweepers": Config(workers=1, sweepers=2),
    "a deep queue": Config(workers=1, sweepers=2, messages=2, deep=True),
    "cancel and retry": Config(cancels=1, retries=1, messages=2, faults=1),
    "two presses at once": _TWICE,
    "the same key again": Config(workers=1, places=2, messages=2),
    "for later, near": replace(_PRESSES, later="near"),
    "for later, far": replace(_PRESSES, later="far"),
    "for later, far, a deep queue": replace(_PRESSES, later="far", deep=True),
    "left to the sweeper": replace(_CALM, later="sweeper", faults=2),
    "unknown task": Config(workers=1, task="unknown"),
    "task unknown to the worker only": Config(workers=1, task="unknown to the worker"),
}
MUTATIONS = {
    "T1 over a live row": Config(workers=1, places=2, messages=2).without(
        "T1", "absent or expired"
    ),
    "T3 ignores the lease": Config().without("T3", "waits or lease over"),
    "T3 ignores the status": _PRESSES.also_from("T3", "SUCCESS").without(
        "T3", "waits or lease over"
    ),
    "T3 ignores the attempts": _CALM.without("T3", "attempts"),
    "T3 ignores run_at": replace(_PRESSES, later="near").without("T3", "run_at"),
    "T4 without the fence": Config().without("T4", "fence"),
    "T5 without the fence": Config(max_attempts=3).without("T5", "fence"),
    "T6 without the fence": Config().without("T6", "fence"),
    "T12 without the fence": Config(progress=True).without("T12", "fence"),
    "T7 over a live lease": Config().without("T7", "lease").without("T7", "fence"),
    "T7 without the fence": _TWICE.without("T7", "fence"),
    "T8 accepts RUNNING": SCENARIOS["cancel and retry"].also_from("T8", "RUNNING"),
    "T8 without the round": _TWICE.without("T8", "retry_round"),
    "T9 before it is due": SCENARIOS["two sweepers"].without("T9", "due"),
    "T9 without the fence": SCENARIOS["two sweepers"].without("T9", "fence").without("T9", "lease"),
    "T10 touches a live lease": Config().without("T10", "lease"),
    "T10 makes a row": SCENARIOS["the same key again"].also_from("T10", ""),
    "T11 without the round": _TWICE.without("T11", "retry_round"),
    "T11 of an expired row": _PRESSES.without("T11", "not expired"),
    "T5 keeps lease_until": Config(twist="T5 keeps lease_until"),
    "T11 keeps expires_at": replace(_PRESSES, twist="T11 keeps expires_at"),
    "T11 forgets run_at": replace(_PRESSES, later="far", twist="T11 forgets run_at"),
    "the key lacks created_at": replace(
        SCENARIOS["the same key again"], twist="the key lacks created_at"
    ),
}
SHORT = {
    "one worker": _CALM,
    "two workers, batches of two": Config(messages=2, faults=0, batch=2),
    "a cancel": replace(_CALM, cancels=1),
    "a retry": replace(_CALM, retries=1, faults=0),
    "for later, a deep queue": replace(_CALM, later="far", deep=True),
    "left to the sweeper": replace(_CALM, later="sweeper"),
    "unknown task": replace(_CALM, task="unknown"),
}


@dataclass(frozen=True)
class Verdict:
    """What a walk found: the states it saw, and per broken property the way there."""

    states: int
    broken: dict[str, list[str]]


def judge(c: Config, first_only: bool = False) -> Verdict:
    """Safety in every state and, unless the first broken property is enough, that every order ends."""
    walk = explore(c, first_only)
    broken = dict(walk.found)
    if not first_only:
        broken |= _unended(walk)
    return Verdict(len(walk.states), broken)


def _unended(walk: Walk) -> dict[str, list[str]]:
    names = list(walk.labels)
    found = {}
    if left := stuck(walk):
        found["L1 (stuck)"] = walk.way(left[0])
    for i, steps in sorted(endless(walk), key=lambda loop: loop[0])[:1]:
        found["L2 (endless)"] = [*walk.way(i), "then for ever:", *(names[k] for k in sorted(steps))]
    return found
