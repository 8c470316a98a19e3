"""Run all benchmarks, print a table and write benchmarks/results.json: `python -m benchmarks`.

QUICK=1 in the environment runs fewer rounds, in less than two minutes.
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

from benchmarks import bulk_costs, canned, costs, functions, local, orders
from benchmarks.processes import say

RESULTS = Path(__file__).parent / "results.json"
QUICK = bool(os.environ.get("QUICK"))
ROUNDS = 3 if QUICK else 9
ORDERS = 60 if QUICK else 150  # per round
COLD_STARTS = 3 if QUICK else 9
SEQUENTIAL = 60 if QUICK else 300  # orders of one client
CONCURRENT = 120 if QUICK else 600  # orders of several clients
ROWS = (100, 10_000) if QUICK else (100, 10_000, 100_000)  # in the table
MESSAGES = (0, 1000) if QUICK else (0, 1000, 10_000)  # in the queue
Results = dict[str, Any]


def main() -> int:
    if sys.platform != "linux":
        say(
            "make bench needs Linux: AWS's runtime client is built only for Linux,"
            " and CPU times are read from /proc"
        )
        return 1
    results: Results = {"machine": _machine(), "quick": QUICK}
    machine = results["machine"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _measure_cpu(folder, results)
        with local.stack(folder / "project") as stack:
            _add_latencies(local.measure(stack, SEQUENTIAL, CONCURRENT), results)
    _count_costs(results)
    machine["load_after"] = os.getloadavg()[0]
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    say(
        f"\nwrote {RESULTS.relative_to(Path.cwd())}; one-minute load"
        f" {machine['load_before']:.1f} before, {machine['load_after']:.1f} after"
    )
    return 0


def _measure_cpu(folder: Path, results: Results) -> None:
    """Measure the CPU time of an order, then of a cold start; the compared systems take turns."""
    with canned.answering() as aws:
        apps = functions.apps(folder, aws)
        with ExitStack() as stack:
            batches = {
                name: stack.enter_context(orders.functions(apps[name]))
                for name in ("orderline", "sdk", "naive")
            }
            batches["bulk"] = stack.enter_context(orders.bulk(apps["orderline"]))
            missing = orders.available()
            if missing:
                say(f"peers are not measured: {missing}")
            else:
                batches |= {
                    name: stack.enter_context(orders.peer(name, folder))
                    for name in ("celery", "huey")
                }
            rounds = [
                {name: batch(ORDERS) for name, batch in batches.items()} for _ in range(ROUNDS)
            ]
        _add_orders(rounds, results)
        _measure_cold_starts(apps, results)


def _add_orders(rounds: list[dict[str, dict[str, float]]], results: Results) -> None:
    say(
        "\nCPU time of an order that does nothing, ms, medians: our processes;"
        " the peers' with their broker"
    )
    medians = {
        name: {
            step: statistics.median(each[name][step] for each in rounds) for step in rounds[0][name]
        }
        for name in rounds[0]
    }
    for name, times_ms in medians.items():
        say(f"  {name:10}" + "  ".join(f"{step} {ms:.2f}" for step, ms in times_ms.items()))
    results["cpu_ms"] = medians
    for peer in ("celery", "huey", "naive", "sdk"):
        ratios = [
            each["orderline"]["order"] / each[peer]["order"] for each in rounds if peer in each
        ]
        if ratios:
            _add(results, f"app_cpu_per_order_x_{peer}", statistics.median(ratios))
    bulk = [each["bulk"]["order"] / each["celery"]["order"] for each in rounds if "celery" in each]
    if bulk:
        _add(results, "bulk_cpu_per_order_x_celery", statistics.median(bulk))


def _measure_cold_starts(apps: dict[str, functions.App], results: Results) -> None:
    say("\ncold start up to the first response, CPU ms (and wall ms), medians")
    ours = apps["orderline"]
    body = json.dumps({"v": 1, "pk": "kit#none", "task": "nothing"})
    ours.aws.rows["kit#none"] = next(row for row in ours.aws.rows.values() if "fingerprint" in row)
    starts = {f"{name} POST": (app, "app.app", app.post()) for name, app in apps.items()}
    starts |= {
        f"{name} worker": (app, "app.order_worker", app.work(body)) for name, app in apps.items()
    }
    starts |= {
        "orderline dead letters": (ours, "app.dead_letters", ours.work("no order")),
        "orderline sweeper": (ours, "app.order_sweeper", functions.schedule()),
    }
    rounds = [
        {name: app.cold(handler, event) for name, (app, handler, event) in starts.items()}
        for _ in range(COLD_STARTS)
    ]
    results["cold_cpu_ms"] = {
        name: statistics.median(each[name].cpu_ms for each in rounds) for name in starts
    }
    for name, cpu in results["cold_cpu_ms"].items():
        say(f"  {name:24}{cpu:6.0f}  ({statistics.median(each[name].ms for each in rounds):.0f})")
    for kind in ("POST", "worker"):
        for other in ("naive", "sdk", "sources"):
            ratios = [
                each[f"orderline {kind}"].cpu_ms / each[f"{other} {kind}"].cpu_ms for each in rounds
            ]
            _add(results, f"cold_start_{kind.lower()}_x_{other}", statistics.median(ratios))


def _add_latencies(latencies: local.Latencies, results: Results) -> None:
    say(
        f"\nthe local stack as users run it"
        f" ({SEQUENTIAL} orders of one client, {CONCURRENT} of four)"
    )
    _add(results, "local_post_p50_ms", statistics.median(latencies.post_ms))
    _add(results, "local_post_p99_ms", statistics.quantiles(latencies.post_ms, n=100)[98])
    _add(results, "local_success_p50_ms", statistics.median(latencies.success_ms))
    _add(results, "local_accepted_per_s", latencies.accepted_per_s)
    _add(results, "local_completed_per_s", latencies.completed_per_s)


def _count_costs(results: Results) -> None:
    say("\ncounted: calls, units, dollars for a million orders with one poll each")
    small = costs.flow()
    large = costs.flow(costs.LARGE)
    _add(results, "aws_calls_per_order", small.order_calls)
    _add(results, "write_units_per_order", small.write_units)
    _add(results, "write_units_per_order_of_60_kb", large.write_units)
    _add(results, "read_units_per_poll", small.read_units)
    _add_dollars_by_front(small, results)
    photo = costs.photo_dollars(costs.photo_requests())
    results["usd_of_a_photo_by_service"] = photo
    for name, usd in photo.items():
        say(f"  with a photo: {name:14}{usd:6.2f}")
    results["growth"] = [
        *(_count_calls(rows, 0) for rows in ROWS),
        *(_count_calls(0, messages) for messages in MESSAGES),
    ]


def _add_dollars_by_front(small: costs.Flow, results: Results) -> None:
    """Add the sums by front and of a bulk, and the services of the REST API's."""
    dollars = costs.dollars(small)
    total = sum(dollars.values())
    _add(results, "usd_per_million_orders", total)
    for name, usd in dollars.items():
        say(f"  {name:14}{usd:6.2f}  {100 * usd / total:3.0f} %")
    results["usd_by_service"] = dollars
    for front in ("http", "url"):
        usd = sum(costs.dollars(small, front).values())
        _add(results, f"usd_per_million_orders_{front}", usd)
    in_bulk = bulk_costs.counted()
    bulk = bulk_costs.dollars(in_bulk, "http", listings=1)
    _add(results, "usd_per_million_orders_bulk_http", sum(bulk.values()))
    results["usd_of_a_bulk_by_service"] = bulk
    each_polled = bulk_costs.dollars(in_bulk, "http", polls=1)
    _add(results, "usd_per_million_orders_bulk_http_each_polled", sum(each_polled.values()))
    cheapest = bulk_costs.dollars(in_bulk, "http", batch=10)
    _add(results, "usd_per_million_orders_bulk_http_batch_10_no_poll", sum(cheapest.values()))


def _count_calls(rows: int, messages: int) -> Results:
    """Count an order's calls and units when there are this many rows and messages already."""
    flow = costs.flow(rows=rows, messages=messages)
    counts = {step: len(calls) for step, calls in flow.calls.items()}
    say(
        f"  {rows:>7} rows {messages:>6} messages: calls {counts}, {flow.write_units} write units,"
        f" {flow.read_units:g} read units per poll"
    )
    return {"rows": rows, "messages": messages, "calls": counts, "write_units": flow.write_units}


def _add(results: Results, name: str, value: float) -> None:
    results[name] = round(value, 3)
    say(f"  {name:34}{value:8.2f}")


def _machine() -> Results:
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
