"""Run a simulation and print what it shows: `python -m benchmarks.simulate ORDERS_PER_S=1000`."""

from __future__ import annotations

import sys

from benchmarks.processes import say
from benchmarks.simulate.ladder import climb
from benchmarks.simulate.plan import PlanMistake, parse, usage
from benchmarks.simulate.report import report


def main(arguments: list[str]) -> int:
    try:
        plan = parse(arguments)
    except PlanMistake as error:
        say(f"{error}\n\nArguments, their defaults and meanings:\n{usage()}")
        return 2
    for line in report(list(climb(plan))):
        say(line)
    return 0


if __name__ == "__main__":
    sys.exit(main([each for text in sys.argv[1:] for each in text.split()]))
