"""`python -m tests.soak.measure [ORDERS]`: prints the experiments' numbers; a backlog of 5,000 orders by default."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.soak import experiments
from tests.soak.backstage import Backstage, soaked
from tests.soak.experiments import FINISH_S, TIMEOUT_S

_OWN_S = TIMEOUT_S - FINISH_S  # what a task has without a timeout_s
DEADLINES = (
    ("sleeping_1_s", 1, 1),
    ("spinning_1_s", 1, 1),
    ("in_c", 1, 1800),
    ("sleeping", _OWN_S, 1),
    ("spinning", _OWN_S, 1),
    ("in_c", 1, 9000),
)


def main(arguments: list[str]) -> int:
    """Returns the exit code: 1 if a promise was broken."""
    orders = int(arguments[0]) if arguments else 5000
    with tempfile.TemporaryDirectory() as folder:
        stack = soaked(Path(folder)).start()
        try:
            return _measure(Backstage(stack), orders)
        finally:
            stack.stop()


def _measure(backstage: Backstage, orders: int) -> int:
    for task, limit_s, number in DEADLINES:
        late = experiments.deadline(backstage, task, limit_s, number)
        _say(f"{task} ({number}), limit {limit_s} s: {late.code}, {late.late_s:.2f} s late")
    for _ in range(3):
        waits = experiments.claimed_again_s(backstage, kills=3)
        _say(f"an order whose worker is killed three times: claimed again after {waits} s")
    _say(f"where failures vanish: {experiments.ended_where_failures_vanish(backstage, 12)}")
    began, found = time.monotonic(), experiments.backlog(backstage, orders)
    _say(f"worker stopped: {found}, {time.monotonic() - began:.0f} s")
    return 1 if found.unended or found.most_messages > 1.1 * orders else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
