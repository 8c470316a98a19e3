"""`python -m tests.model [NAME...]`: check every scenario, or those named.

With --mutate, check that every weakened model breaks a property.
"""

from __future__ import annotations

import sys
import time

from tests.model import fan_in_scenarios, scenarios
from tests.model.scenarios import Verdict
from tests.model.table import Config

SCENARIOS = {**scenarios.SCENARIOS, **fan_in_scenarios.SCENARIOS}
MUTATIONS = {**scenarios.MUTATIONS, **fan_in_scenarios.MUTATIONS}


def main(arguments: list[str]) -> int:
    """Print a line per scenario; return 1 if a model breaks or a weakened one does not."""
    mutate = "--mutate" in arguments
    configs = MUTATIONS if mutate else SCENARIOS
    names = [name for name in arguments if name in configs] or list(configs)
    started_at = time.monotonic()
    states = 0
    wrong = []
    for name in names:
        start = time.monotonic()
        verdict = _judge(configs[name], mutate)
        seconds = time.monotonic() - start
        states += verdict.states
        if bool(verdict.violations) is not mutate:
            wrong.append(name)
        _print(f"{name}: {verdict.states} states, {seconds:.0f} s{_describe(verdict, mutate)}")
    kind = "mutants, not found" if mutate else "scenarios, violations"
    seconds = time.monotonic() - started_at
    _print(f"model: {len(names)} {kind} {len(wrong)}, {states} states, {seconds:.0f} s")
    return 1 if wrong else 0


def _judge(config: Config | fan_in_scenarios.AnyConfig, mutate: bool) -> Verdict:
    if isinstance(config, Config):
        return scenarios.judge(config, first_only=mutate)
    return fan_in_scenarios.judge(config)


def _describe(verdict: Verdict, mutate: bool) -> str:
    if not mutate:
        traces = verdict.violations.items()
        return "".join(f"\n  BROKEN {name}: {'; '.join(trace)}" for name, trace in traces)
    if not verdict.violations:
        return ", NOT FOUND"
    return ", found: " + " and ".join(verdict.violations)


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
