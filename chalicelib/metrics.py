"""Metrics as members of log lines.

CloudWatch extracts them from the lines, so they need no call and no library (AWS calls this the
embedded metric format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/).
Each combination of dimensions is billed as its own metric, so they name tasks and statuses, which
are few, but never orders or owners.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from typing import Any

NAMESPACE = "Orderline"
_BUILT_IN = "orderline."
_BY_STACK = ["stack"]
_BY_TASK = ["stack", "task"]
_BY_STATUS = ["stack", "task", "status"]

Directive = tuple[list[list[str]], dict[str, str]]
"""Dimensions, and the unit of each metric."""
_DURATION: Directive = ([_BY_STACK, _BY_TASK], {"duration_ms": "Milliseconds"})

# Of each event. A count that is not a member of its line counts the event; a duration that is not
# is left out, since not every order ends by an attempt.
EVENTS: dict[str, list[Directive]] = {
    "order_accepted": [([_BY_STACK, _BY_TASK], {"orders_accepted": "Count"})],
    "attempt_began": [([_BY_STACK, _BY_TASK], {"attempts": "Count", "age_ms": "Milliseconds"})],
    "attempt_ended": [_DURATION],
    "order_ended": [([_BY_STATUS], {"orders_ended": "Count"}), _DURATION],
    "message_forwarded": [([_BY_STACK], {"messages_forwarded": "Count"})],
    "send_failed": [([_BY_STACK], {"sends_failed": "Count"})],
    "swept": [([_BY_STACK], {"largest_overdue_s": "Seconds", "resent": "Count"})],
    "dead_letter": [([_BY_STACK], {"dead_letters": "Count"})],
    "http_failed": [([_BY_STACK], {"http_failures": "Count"})],
    "bulk_failed": [([_BY_STACK], {"http_failures": "Count"})],
}


def members(event: str, line: Mapping[str, Any], stack: str) -> dict[str, Any]:
    """Return the members that turn an event's log line into metrics; empty for an event without."""
    if event not in EVENTS:
        return {}
    built_in = str(line.get("task", "")).startswith(_BUILT_IN)
    counts, blocks = _described(event, "duration_ms" in line, built_in)
    return {
        **{name: 1 for name in counts if name not in line},
        "stack": stack,
        "_aws": {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": blocks},
    }


@functools.cache
def _described(
    event: str, timed: bool, built_in: bool
) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """Return the counts of an event, and what CloudWatch is to extract from its line.

    `timed`: the line has a duration; `built_in`: its task is, so it is left out of the totals,
    which are users'.
    """
    directives = [each for each in EVENTS[event] if timed or each is not _DURATION]
    blocks = [
        {
            "Namespace": NAMESPACE,
            "Dimensions": [each for each in dimensions if not (built_in and each == _BY_STACK)],
            "Metrics": [{"Name": name, "Unit": unit} for name, unit in units.items()],
        }
        for dimensions, units in directives
    ]
    units = {name: unit for _, own in directives for name, unit in own.items()}
    return tuple(name for name, unit in units.items() if unit == "Count"), blocks
