"""Write the measured numbers of the docs and README, and the plots: `python -m benchmarks.page`.

All are of one run, which benchmarks/results.json records; `make bench` calls this after it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import plot
from benchmarks.processes import say
from benchmarks.simulate.page import table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results.json"
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")
BLOCK = re.compile(r"(<!-- measured: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
PEERS = {"celery": "Flask, Celery and Redis", "huey": "Flask, Huey and Redis"}
SYSTEMS = {
    "orderline": "Orderline",
    "batch of ten": "Orderline, ten messages in a batch",
    "bulk": "Orderline, placed by the thousand",
    "sdk": "Orderline through botocore (`AWS_TRANSPORT=botocore`)",
    "naive": "naive Chalice + boto3, loses orders",
    "celery": "Flask + Celery + Redis",
    "huey": "Flask + Huey + Redis",
}
STARTS = {
    "orderline": SYSTEMS["orderline"],
    "sdk": SYSTEMS["sdk"],
    "sources": "Orderline without its bytecode",
    "naive": SYSTEMS["naive"],
}
SERVICES = {
    "local": "Orderline, `make run`",
    "celery": SYSTEMS["celery"],
    "huey": SYSTEMS["huey"],
}
Results = dict[str, Any]


def main() -> int:
    results = read()
    if results["quick"] or "app_cpu_per_order_x_celery" not in results:
        say("README and docs stay as they are: they show a full run with Celery and Huey")
        return 1
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        page.write_text(regenerated(text, results), encoding="utf-8")
    for path, svg in plots(results).items():
        path.write_text(svg, encoding="utf-8")
    return 0


def read() -> Results:
    return dict(json.loads(RESULTS.read_text(encoding="utf-8")))


def regenerated(text: str, results: Results) -> str:
    """Return a page with all its blocks written again."""
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]](results)}\n{found[3]}", text)


def plots(results: Results) -> dict[Path, str]:
    """Return the plots by their paths: a light one and a dark one."""
    bars = [
        ("naive Chalice + boto3", 1 / results["app_cpu_per_order_x_naive"]),
        ("Flask + Celery + Redis", 1 / results["app_cpu_per_order_x_celery"]),
        ("Flask + Huey + Redis", 1 / results["app_cpu_per_order_x_huey"]),
        ("Orderline", 1.0),
        (
            "Orderline, batches of ten",
            results["app_cpu_per_order_x_huey_batch10"] / results["app_cpu_per_order_x_huey"],
        ),
    ]
    title = "CPU of an order that does nothing, as a multiple of Orderline's"
    return {
        ROOT / "docs" / f"cpu-{theme}.svg": plot.bars(title, _origin(results), bars, theme)
        for theme in plot.THEMES
    }


def _origin(results: Results) -> str:
    """Return the date and the machine of a run."""
    machine = results["machine"]
    day = datetime.fromisoformat(machine["at"]).date()
    return f"{day}, {machine['cores']} cores ({machine['cpu']}, {machine['machine']})"


def _ratio(results: Results, key: str) -> str:
    return f"{results[key]:.2f} x"


def _machine(results: Results) -> str:
    machine = results["machine"]
    kind = "quick run, whose medians vary more" if results["quick"] else "full run"
    return (
        f"Measured on {_origin(results)}, {machine['system'].partition('-')[0]}, Python"
        f" {machine['python']}: a {kind}.\nOne-minute load {machine['load_before']:.1f} before and"
        f" {machine['load_after']:.1f} after."
    )


def _cpu(results: Results) -> str:
    columns = ("POST", "worker", "order", "poll")
    rows = [
        (name, *(f"{measured[each]:.2f}" if each in measured else "" for each in columns))
        for key, name in SYSTEMS.items()
        if (measured := results["cpu_ms"].get(key))
    ]
    return table(("CPU per order, ms", "POST", "worker", "both", "one poll"), rows)


def _ratios(results: Results) -> str:
    rows = []
    for what, key in (("one by one", ""), ("ten messages in a batch", "_batch10")):
        ratios = [_ratio(results, f"app_cpu_per_order_x_{peer}{key}") for peer in PEERS]
        rows.append((what, *ratios))
    rows.append(("placed by the thousand, HTTP function only", _bulk(results), ""))
    return table(("an order's CPU, ratio to", *PEERS.values()), rows)


def _bulk(results: Results) -> str:
    return _ratio(results, "bulk_cpu_per_order_x_celery")


def _cold(results: Results) -> str:
    rows = [
        (name, *(f"{results['cold_cpu_ms'][f'{key} {kind}']:.0f}" for kind in ("POST", "worker")))
        for key, name in STARTS.items()
    ]
    kinds = ("post", "worker")
    naive = [f"**{_ratio(results, f'cold_start_{kind}_x_naive')}**" for kind in kinds]
    rows.append(("ratio of Orderline to the naive app", *naive))
    return table(("cold start to the first response, CPU ms", "POST", "worker"), rows)


def _end_to_end(results: Results) -> str:
    return table(
        ("as clients see it", "POST, median", "POST, 99th", "to SUCCESS, median", "completed"),
        list(_services(results)),
    )


def _services(results: Results) -> Iterator[tuple[str, ...]]:
    for line, measured in results["end_to_end"].items():
        key, _, clients = line.partition(", ")
        times = [f"{measured[f'{each}_ms']:.0f} ms" for each in ("post_p50", "post_p99")]
        success = f"{measured['success_p50_ms']:.0f} ms"
        completed = f"{measured['completed_per_s']:.0f} a second"
        who = "one client" if clients == "1 at once" else f"{clients.split()[0]} clients"
        yield (f"{SERVICES[key]}, {who}", *times, success, completed)


def _local(results: Results) -> str:
    completed, success = (
        {peer: results[f"local_{what}_x_{peer}"] for peer in PEERS}
        for what in ("completed", "success_p50")
    )
    return (
        f"The local stack completes **{completed['celery']:.2f} x** as many orders a second as"
        f" Flask, Celery and Redis, and\n{completed['huey']:.2f} x as many as with Huey. From POST"
        f" to SUCCESS an order takes {success['celery']:.2f} x and {success['huey']:.2f} x as long."
    )


def _dollars(results: Results) -> str:
    services = results["usd_by_service"]
    total = results["usd_per_million_orders"]
    rows = [(name, f"{usd:.2f}", f"{100 * usd / total:.0f} %") for name, usd in services.items()]
    rows.append(("**all**", f"**{total:.2f}**", ""))
    return table(("US dollars for a million orders, each polled once", "", "share"), rows)


def _readme(results: Results) -> str:
    return (
        f"An order takes {results['aws_calls_per_order']} AWS calls and"
        f" **{_ratio(results, 'app_cpu_per_order_x_celery')}** the CPU that it takes with Flask,"
        f" Celery and Redis, or\n{_ratio(results, 'app_cpu_per_order_x_huey')} that with Flask,"
        f" Huey and Redis ({_origin(results)};\n[how it is measured](docs/performance.md))."
    )


BLOCKS: dict[str, Callable[[Results], str]] = {
    "machine": _machine,
    "cpu": _cpu,
    "ratios": _ratios,
    "cold": _cold,
    "end_to_end": _end_to_end,
    "local": _local,
    "dollars": _dollars,
    "readme": _readme,
}


if __name__ == "__main__":
    sys.exit(main())
