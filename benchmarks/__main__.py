"""`python -m benchmarks`: everything measured in one run, a table on the terminal and benchmarks/results.json.

QUICK=1 in the environment: fewer rounds, under two minutes.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks import canned, costs, functions, local, orders
from benchmarks.processes import say

RESULTS = Path(__file__).parent / "results.json"
QUICK = bool(os.environ.get("QUICK"))
ROUNDS, ORDERS, COLD = (3, 60, 3) if QUICK else (9, 150, 9)
ALONE, TOGETHER = (60, 120) if QUICK else (300, 600)
ROWS, MESSAGES = (
    ((100, 10_000), (0, 1000)) if QUICK else ((100, 10_000, 100_000), (0, 1000, 10_000))
)
Found = dict[str, Any]


def main() -> int:
    if sys.platform != "linux":
        say(
            "make bench needs Linux: AWS's runtime client is built for it alone, and CPU is read from /proc"
        )
        return 1
    found: Found = {"machine": _machine(), "quick": QUICK}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _warm_and_cold(folder, found)
        with local.stack(folder / "project") as stack:
            _local(local.seen(stack, ALONE, TOGETHER), found)
    _costs(found)
    found["machine"]["load_after"] = os.getloadavg()[0]
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    say(
        f"\nwritten: {RESULTS.relative_to(Path.cwd())}; one-minute load {found['machine']['load_before']:.1f} before,"
        f" {found['machine']['load_after']:.1f} after"
    )
    return 0


def _warm_and_cold(folder: Path, found: Found) -> None:
    """CPU of an order, then of a cold start; all that is compared takes turns."""
    with canned.answering() as aws:
        apps = functions.apps(folder, aws)
        with ExitStack() as stack:
            batches = {
                name: stack.enter_context(orders.functions(apps[name]))
                for name in ("orderline", "sdk", "naive")
            }
            missing = orders.available()
            if missing:
                say(f"without peers: {missing}")
            else:
                batches |= {
                    name: stack.enter_context(orders.peer(name, folder))
                    for name in ("celery", "huey")
                }
            rounds = [
                {name: batch(ORDERS) for name, batch in batches.items()} for _ in range(ROUNDS)
            ]
        _orders(rounds, found)
        _cold(apps, found)


def _orders(rounds: list[dict[str, dict[str, float]]], found: Found) -> None:
    say(
        "\nCPU of an order that does nothing, ms: our processes; the peers' with their broker (medians)"
    )
    middle = {
        name: {
            what: statistics.median(turn[name][what] for turn in rounds) for what in rounds[0][name]
        }
        for name in rounds[0]
    }
    for name, spent in middle.items():
        say(f"  {name:10}" + "  ".join(f"{what} {ms:.2f}" for what, ms in spent.items()))
    found["cpu_ms"] = middle
    for peer in ("celery", "huey", "naive", "sdk"):
        ratios = [
            turn["orderline"]["order"] / turn[peer]["order"] for turn in rounds if peer in turn
        ]
        if ratios:
            _key(found, f"app_cpu_per_order_x_{peer}", statistics.median(ratios))


def _cold(apps: dict[str, functions.App], found: Found) -> None:
    say("\ncold start up to the first answer, CPU ms (and wall ms), medians")
    mine, body = apps["orderline"], json.dumps({"v": 1, "pk": "kit#none", "task": "nothing"})
    mine.aws.rows["kit#none"] = next(row for row in mine.aws.rows.values() if "fingerprint" in row)
    starts = {f"{name} POST": (app, "app.app", app.post()) for name, app in apps.items()}
    starts |= {
        f"{name} worker": (app, "app.order_worker", app.work(body)) for name, app in apps.items()
    }
    starts |= {
        "orderline dead letters": (mine, "app.dead_letters", mine.work("no order")),
        "orderline sweeper": (mine, "app.order_sweeper", functions.schedule()),
    }
    rounds = [
        {name: app.cold(handler, event) for name, (app, handler, event) in starts.items()}
        for _ in range(COLD)
    ]
    found["cold_cpu_ms"] = {
        name: statistics.median(turn[name].cpu_ms for turn in rounds) for name in starts
    }
    for name, cpu in found["cold_cpu_ms"].items():
        say(f"  {name:24}{cpu:6.0f}  ({statistics.median(turn[name].ms for turn in rounds):.0f})")
    for what in ("POST", "worker"):
        for beside in ("naive", "sdk", "sources"):
            ratios = [
                turn[f"orderline {what}"].cpu_ms / turn[f"{beside} {what}"].cpu_ms
                for turn in rounds
            ]
            _key(found, f"cold_start_{what.lower()}_x_{beside}", statistics.median(ratios))


def _local(seen: local.Seen, found: Found) -> None:
    say(f"\nthe local stack as users run it ({ALONE} orders of one client, {TOGETHER} of four)")
    _key(found, "local_post_p50_ms", statistics.median(seen.post_ms))
    _key(found, "local_post_p99_ms", statistics.quantiles(seen.post_ms, n=100)[98])
    _key(found, "local_success_p50_ms", statistics.median(seen.success_ms))
    _key(found, "local_accepted_per_s", seen.accepted_per_s)
    _key(found, "local_completed_per_s", seen.completed_per_s)


def _costs(found: Found) -> None:
    say("\ncounted: calls, units, dollars for a million orders with one poll each")
    small, large = costs.flow(), costs.flow(costs.LARGE)
    _key(found, "aws_calls_per_order", small.order_calls)
    _key(found, "write_units_per_order", small.write_units)
    _key(found, "write_units_per_order_of_60_kb", large.write_units)
    _key(found, "read_units_per_poll", small.read_units)
    spent = costs.dollars(small)
    total = sum(spent.values())
    _key(found, "usd_per_million_orders", total)
    for name, usd in spent.items():
        say(f"  {name:14}{usd:6.2f}  {100 * usd / total:3.0f} %")
    found["usd_by_service"] = spent
    found["growth"] = [_grown(rows, 0) for rows in ROWS] + [
        _grown(0, messages) for messages in MESSAGES
    ]


def _grown(rows: int, messages: int) -> Found:
    flow = costs.flow(rows=rows, messages=messages)
    counts = {what: len(calls) for what, calls in flow.calls.items()}
    say(
        f"  {rows:>7} rows {messages:>6} messages: calls {counts}, {flow.write_units} write units,"
        f" {flow.read_units:g} read units a poll"
    )
    return {"rows": rows, "messages": messages, "calls": counts, "write_units": flow.write_units}


def _key(found: Found, name: str, value: float) -> None:
    found[name] = round(value, 3)
    say(f"  {name:34}{value:8.2f}")


def _machine() -> Found:
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
