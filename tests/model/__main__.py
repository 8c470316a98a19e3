"""`python -m tests.model`: every scenario, or those named. `--mutate`: every weakened table."""

from __future__ import annotations

import sys
import time

from tests.model.scenarios import MUTATIONS, SCENARIOS, Verdict, judge


def main(arguments: list[str]) -> int:
    """Prints a line for each walk. Returns the exit code: 1 if the table breaks, or a weakened one does not."""
    mutate = "--mutate" in arguments
    configs = MUTATIONS if mutate else SCENARIOS
    names = [name for name in arguments if name in configs] or list(configs)
    began, states, wrong = time.monotonic(), 0, []
    for name in names:
        start = time.monotonic()
        verdict = judge(configs[name], first_only=mutate)
        states += verdict.states
        if bool(verdict.broken) is not mutate:
            wrong.append(name)
        _say(
            f"{name}: {verdict.states} states, {time.monotonic() - start:.0f} s{_broken(verdict, mutate)}"
        )
    kind = "mutants, not found" if mutate else "scenarios, violations"
    _say(
        f"model: {len(names)} {kind} {len(wrong)}, {states} states, {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong else 0


def _broken(verdict: Verdict, mutate: bool) -> str:
    if mutate:
        return ", found: " + " and ".join(verdict.broken) if verdict.broken else ", NOT FOUND"
    return "".join(f"\n  BROKEN {name}: {'; '.join(way)}" for name, way in verdict.broken.items())


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
