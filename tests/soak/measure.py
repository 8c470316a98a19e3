"""`python -m tests.soak.measure [ORDERS]`: print the experiments' numbers.

ORDERS, the size of the backlog, is 5,000 by default.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.soak import experiments
from tests.soak.experiments import FINISH_S, TIMEOUT_S
from tests.soak.stack_control import StackControl, soak_stack

_DEFAULT_LIMIT_S = TIMEOUT_S - FINISH_S  # of a task without a timeout_s
LIMITS = (
    ("sleeping_1_s", 1, 1),
    ("spinning_1_s", 1, 1),
    ("in_c", 1, 1800),
    ("sleeping", _DEFAULT_LIMIT_S, 1),
    ("spinning", _DEFAULT_LIMIT_S, 1),
    ("in_c", 1, 9000),
)


def main(arguments: list[str]) -> int:
    """Run every experiment; return the exit code, 1 if a promise was broken."""
    orders = int(arguments[0]) if arguments else 5000
    with tempfile.TemporaryDirectory() as folder:
        stack = soak_stack(Path(folder)).start()
        try:
            return _measure(StackControl(stack), orders)
        finally:
            stack.stop()


def _measure(control: StackControl, orders: int) -> int:
    for task, limit_s, number in LIMITS:
        ended = experiments.run_past_limit(control, task, limit_s, number)
        _print(f"{task} ({number}), limit {limit_s} s: {ended.code}, {ended.late_s:.2f} s late")
    for _ in range(3):
        waits = experiments.seconds_to_next_claim(control, kills=3)
        _print(f"an order whose worker is killed three times: claimed again after {waits} s")
    statuses = experiments.statuses_without_batch_failures(control, 12)
    _print(f"without ReportBatchItemFailures: {statuses}")
    started_at = time.monotonic()
    found = experiments.backlog(control, orders)
    _print(f"worker stopped: {found}, {time.monotonic() - started_at:.0f} s")
    return 1 if found.unfinished or found.max_messages > 1.1 * orders else 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
