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

from benchmarks import bulk_costs, canned, costs, end_to_end, functions, orders, page
from benchmarks.processes import say

QUICK = bool(os.environ.get("QUICK"))
# Many short rounds: what else the machine does comes in bursts, and a median forgets those
ROUNDS = 9 if QUICK else 31
ORDERS = 40  # per round
WARM_UP = 10  # orders before them
COLD_STARTS = 3 if QUICK else 9
END_TO_END = (2, 48) if QUICK else (5, 160)  # rounds, and orders in each
ROWS = (100, 10_000) if QUICK else (100, 10_000, 100_000)  # in the table
MESSAGES = (0, 1000) if QUICK else (0, 1000, 10_000)  # in the queue
RATIOS = (  # key, ours, to what
    ("app_cpu_per_order_x_celery", "orderline", "celery"),
    ("app_cpu_per_order_x_huey", "orderline", "huey"),
    ("app_cpu_per_order_x_naive", "orderline", "naive"),
    ("app_cpu_per_order_x_sdk", "orderline", "sdk"),
    ("app_cpu_per_order_x_celery_batch10", "batch of ten", "celery"),
    ("app_cpu_per_order_x_huey_batch10", "batch of ten", "huey"),
    ("bulk_cpu_per_order_x_celery", "bulk", "celery"),
)
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
        _measure_end_to_end(folder, results)
    _count_costs(results)
    machine["load_after"] = os.getloadavg()[0]
    page.RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    page.main()
    say(
        f"\nwrote {page.RESULTS.relative_to(Path.cwd())}; one-minute load"
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
            batches["batch of ten"] = stack.enter_context(orders.functions(apps["orderline"], 10))
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
                {name: _warm(batch) for name, batch in batches.items()} for _ in range(ROUNDS)
            ]
        _add_orders(rounds, results)
        _measure_cold_starts(apps, results)


def _warm(batch: orders.Batch) -> dict[str, float]:
    """Measure a batch after a few orders that are not: while others ran, caches were lost."""
    batch(WARM_UP)
    return batch(ORDERS)


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
        say(f"  {name:13}" + "  ".join(f"{step} {ms:.2f}" for step, ms in times_ms.items()))
    results["cpu_ms"] = medians
    for key, ours, other in RATIOS:
        ratios = [each[ours]["order"] / each[other]["order"] for each in rounds if other in each]
        if ratios:
            _add(results, key, statistics.median(ratios))


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


def _measure_end_to_end(folder: Path, results: Results) -> None:
    """Measure the local stack and the peers as clients see them; all take turns."""
    number, orders = END_TO_END
    say(f"\nend to end, as users run them: {number} rounds of {orders} orders")
    rounds: dict[tuple[str, int], list[end_to_end.Round]] = {}
    with end_to_end.services(folder) as services:
        for _ in range(number):
            for clients in end_to_end.CLIENTS:
                for name, service in services.items():
                    round = end_to_end.measure(service, clients, orders)
                    rounds.setdefault((name, clients), []).append(round)
    results["end_to_end"] = {
        f"{name}, {clients} at once": end_to_end.summary(each)
        for (name, clients), each in rounds.items()
    }
    for line, values in results["end_to_end"].items():
        say(f"  {line:22}" + "  ".join(f"{key} {value:.1f}" for key, value in values.items()))
    _add_end_to_end_ratios(rounds, results)


def _add_end_to_end_ratios(
    rounds: dict[tuple[str, int], list[end_to_end.Round]], results: Results
) -> None:
    one, many = end_to_end.CLIENTS
    for peer in ("celery", "huey"):
        if (peer, one) not in rounds:
            continue
        completed = [
            ours.completed_per_s / theirs.completed_per_s
            for ours, theirs in zip(rounds["local", many], rounds[peer, many], strict=True)
        ]
        success = [
            statistics.median(ours.success_ms) / statistics.median(theirs.success_ms)
            for ours, theirs in zip(rounds["local", one], rounds[peer, one], strict=True)
        ]
        _add(results, f"local_completed_x_{peer}", statistics.median(completed))
        _add(results, f"local_success_p50_x_{peer}", statistics.median(success))


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
        "cpu": _cpu_name(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
    }


def _cpu_name() -> str:
    """Return the maker and the family of the processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return " ".join((names or ["unknown"])[0].split()[:2])


if __name__ == "__main__":
    sys.exit(main())
