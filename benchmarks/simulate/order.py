"""What one order costs: units, calls, requests and time, by step.

tests/functional/test_simulation.py counts the same with the app's own code.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.costs import BILLED_S
from chalicelib.functions.checks import THREADS
from chalicelib.queue import MAX_BATCH
from chalicelib.table.batch_get import LIMIT


@dataclass(frozen=True)
class Writes:
    """Write units of one write, by the part of the table that they are for."""

    table: int = 0
    by_time: int = 0
    by_due: int = 0
    """Of the partitions that the sweeper reads."""
    failures: int = 0
    """Of by_due's partitions that list the failed orders of a task."""

    @property
    def total(self) -> int:
        return self.table + self.by_time + self.by_due + self.failures


# An entry of an index whose key changes is deleted and added: two units
INSERT = Writes(table=1, by_time=1, by_due=1)
CLAIM = Writes(table=1)
SUCCEED = Writes(table=1, by_due=1)
FAIL = Writes(table=1, by_due=1, failures=1)
PUT_BACK = Writes(table=1, by_due=2)
RESEND = Writes(table=1, by_due=2)
POLL_READS = 1
RESEND_READS = 1

# Log bytes of a request and of a run of the worker; `tests` compare them with real lines
LOG_BYTES = {"POST": 374, "worker": 1071, "poll": 0}

# Seconds of a function's time. Assumed, not measured on AWS: see benchmarks/costs.py
POST_S = BILLED_S["POST"]
POLL_S = BILLED_S["poll"]
WORK_S = BILLED_S["worker"]  # beside the task itself
BULK_ORDER_S = 0.007  # of each order in a bulk: one call of 5 ms, a tenth of one, and CPU
CALL_S = 0.005  # one call of the sweeper
# CPU of each order that the sweeper sends again, as `python -m benchmarks.sweep 100000` measured it
# on 2026-11-26 on the machine of docs/performance.md, which was busy
SWEEP_CPU_S = 0.0003
# vCPUs of the sweeper's 512 MB: 1,769 MB have one
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
SWEEPER_VCPU = 512 / 1769


def sweep_s() -> float:
    """Return the seconds that the sweeper takes for each order that it sends again.

    It reads a hundred orders by one call. Then threads write each order and send ten messages by
    one call. It takes at least its CPU time, since Python's threads share what there is.
    """
    groups = -(-LIMIT // MAX_BATCH)
    rounds = -(-groups // THREADS)
    waiting_s = (1 + rounds * (MAX_BATCH + 1)) * CALL_S / LIMIT
    return max(waiting_s, SWEEP_CPU_S / SWEEPER_VCPU)
