"""Scenarios in which no property may break, and weakened tables, each of which must break one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tests.model.explore import StateGraph, explore
from tests.model.liveness import endless, stuck
from tests.model.table import IN_SLOT, RULES, Config

_SMALL = Config(workers=1, messages=2, faults=1)
_REQUESTS = Config(workers=1, cancels=1, retries=1, messages=2, faults=1)
_CONCURRENT = replace(_REQUESTS, services=2)
_PACED = replace(_SMALL, rules={**RULES, "T3": IN_SLOT}, slots=("open", "near"))
_PACED_REQUESTS = replace(_PACED, cancels=1, retries=1)
SCENARIOS = {
    "two workers": Config(),
    "two workers, progress reported": Config(progress=True, messages=2, faults=1),
    "two workers, batches of two": Config(batch=2, faults=1),
    "three attempts": Config(max_attempts=3, messages=2, max_receives=4, faults=1),
    "one attempt": Config(max_attempts=1),
    "two sweepers": Config(workers=1, sweepers=2),
    "a deep queue": Config(workers=1, sweepers=2, messages=2, deep_queue=True),
    "cancel and retry": Config(cancels=1, retries=1, messages=2, faults=1),
    "two requests at once": _CONCURRENT,
    "the same key again": Config(workers=1, places=2, messages=2),
    "stop": replace(_SMALL, stops=1, progress=True),
    "stop, two workers": Config(stops=1, messages=2, faults=1),
    "stop, cancel and retry": replace(_REQUESTS, stops=2),
    "stop, slots": replace(_PACED, stops=1),
    "for later, near": replace(_REQUESTS, later="near"),
    "for later, far": replace(_REQUESTS, later="far"),
    "for later, far, a deep queue": replace(_REQUESTS, later="far", deep_queue=True),
    "left to the sweeper": replace(_SMALL, later="sweeper", faults=2),
    "long backoffs, near": replace(_SMALL, backoffs=("near",), faults=2),
    "long backoffs, far": replace(_SMALL, backoffs=("far",), faults=2),
    "long backoffs, two workers": Config(backoffs=("near", "far"), messages=2, faults=1),
    "long backoffs, two sweepers": replace(_SMALL, backoffs=("near", "far"), sweepers=2),
    "long backoffs, a deep queue": replace(_SMALL, backoffs=("near", "far"), deep_queue=True),
    "long backoffs, stop": replace(_SMALL, backoffs=("near", "far"), stops=1),
    "long backoffs, cancel and retry": replace(_REQUESTS, backoffs=("near", "far")),
    "long backoffs, for later": replace(_REQUESTS, backoffs=("near", "far"), later="far"),
    "long backoffs, slots": replace(_PACED, backoffs=("near", "far")),
    "unknown task": Config(workers=1, task="unknown"),
    "task unknown to the worker only": Config(workers=1, task="unknown to the worker"),
    "slots, two workers": replace(_PACED, workers=2),
    "slots, far ahead": replace(_PACED, slots=("open", "near", "far")),
    "slots, cancel and retry": replace(_PACED_REQUESTS, faults=0),
    "slots, retry": replace(_PACED, retries=1, slots=("open",)),
    "slots, for later": replace(_PACED, later="near"),
    "slots, left to the sweeper": replace(_PACED, later="sweeper"),
    # Waiting for a slot needs no sweeper as long as nothing crashes
    "slots, no sweeper": replace(
        _PACED_REQUESTS, workers=2, sweepers=0, dead_letters=0, faults=0, max_receives=0
    ),
}
MUTATIONS = {
    "T1 over a live row": Config(workers=1, places=2, messages=2).without(
        "T1", "absent or expired"
    ),
    "T3 ignores the lease": Config().without("T3", "waits or lease over"),
    "T3 ignores the status": _REQUESTS.also_from("T3", "SUCCESS").without(
        "T3", "waits or lease over"
    ),
    "T3 ignores the attempts": _SMALL.without("T3", "attempts"),
    "T3 ignores run_at": replace(_REQUESTS, later="near").without("T3", "run_at"),
    "T4 without the fence": Config().without("T4", "fence"),
    "T5 without the fence": Config(max_attempts=3).without("T5", "fence"),
    "T6 without the fence": Config().without("T6", "fence"),
    "T12 without the fence": Config(progress=True).without("T12", "fence"),
    "T7 over a live lease": Config().without("T7", "lease").without("T7", "fence"),
    "T7 without the fence": _CONCURRENT.without("T7", "fence"),
    "T8 accepts RUNNING": SCENARIOS["cancel and retry"].also_from("T8", "RUNNING"),
    "T8 without the round": _CONCURRENT.without("T8", "retry_round"),
    "T9 before it is due": SCENARIOS["two sweepers"].without("T9", "due"),
    "T9 without the fence": SCENARIOS["two sweepers"].without("T9", "fence").without("T9", "lease"),
    "T10 touches a live lease": Config().without("T10", "lease"),
    "T10 makes a row": SCENARIOS["the same key again"].also_from("T10", ""),
    "T11 without the round": _CONCURRENT.without("T11", "retry_round"),
    "T11 of an expired row": _REQUESTS.without("T11", "not expired"),
    "T3 ignores the stop": replace(_SMALL, stops=1).without("T3", "no stop"),
    "T14 takes the fence": replace(_SMALL, stops=1, mutation="T14 takes the fence"),
    "T11 keeps the stop": replace(_REQUESTS, stops=1, mutation="T11 keeps the stop"),
    "T5 keeps lease_until": Config(mutation="T5 keeps lease_until"),
    "T11 keeps expires_at": replace(_REQUESTS, mutation="T11 keeps expires_at"),
    "T3 ignores a long backoff": replace(_SMALL, backoffs=("near",)).without("T3", "run_at"),
    "T5 forgets run_at": replace(_SMALL, backoffs=("far",), mutation="T5 forgets run_at"),
    "T11 forgets run_at": replace(_REQUESTS, later="far", mutation="T11 forgets run_at"),
    "T3 ignores the slot": _PACED.without("T3", "slot"),
    "T3 accepts a late slot": replace(_PACED, mutation="T3 accepts a late slot"),
    "T11 keeps the slot": replace(_PACED_REQUESTS, mutation="T11 keeps the slot"),
    "the key lacks created_at": replace(
        SCENARIOS["the same key again"], mutation="the key lacks created_at"
    ),
}
SHORT = {
    "one worker": _SMALL,
    "two workers, batches of two": Config(messages=2, faults=0, batch=2),
    "a cancel": replace(_SMALL, cancels=1),
    "a stop": replace(_SMALL, stops=1),
    "a retry": replace(_SMALL, retries=1, faults=0),
    "for later, a deep queue": replace(_SMALL, later="far", deep_queue=True),
    "left to the sweeper": replace(_SMALL, later="sweeper"),
    "long backoffs": replace(_SMALL, backoffs=("near", "far")),
    "slots": _PACED,
    "slots, no sweeper": SCENARIOS["slots, no sweeper"],
    "unknown task": replace(_SMALL, task="unknown"),
}


@dataclass(frozen=True)
class Verdict:
    """The number of states, and each broken property with its trace."""

    states: int
    violations: dict[str, list[str]]


def judge(config: Config, first_only: bool = False) -> Verdict:
    """Check safety in every state, and liveness unless the first broken property is enough."""
    graph = explore(config, first_only)
    violations = dict(graph.violations)
    if not first_only:
        violations |= _liveness_violations(graph)
    return Verdict(len(graph.states), violations)


def _liveness_violations(graph: StateGraph) -> dict[str, list[str]]:
    names = list(graph.labels)
    violations = {}
    if states := stuck(graph):
        violations["L1 (stuck)"] = graph.trace(states[0])
    for index, labels in sorted(endless(graph), key=lambda loop: loop[0])[:1]:
        loop = [names[label] for label in sorted(labels)]
        violations["L2 (endless)"] = [*graph.trace(index), "then for ever:", *loop]
    return violations
