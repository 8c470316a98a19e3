"""Write the simulated numbers of docs/scale.md: `python -m benchmarks.simulate.page`."""

from __future__ import annotations

import functools
import math
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.simulate import aws, dollars
from benchmarks.simulate.ladder import Rung, climb
from benchmarks.simulate.limits import LIMITS
from benchmarks.simulate.plan import Plan
from benchmarks.simulate.report import changes, report, span
from benchmarks.simulate.result import Result
from benchmarks.simulate.run import Simulation

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
BLOCK = re.compile(r"(<!-- simulated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
RATES = (100, 1000, 2000, 10_000)
HIGHEST = RATES[-1]
SERVERS = (30, 200, 400)
FRONTS = {
    "`Front=rest`": Plan(1),
    "`Front=http`": Plan(1, front="http"),
    "`Front=url`": Plan(1, front="url"),
    "`rest`, in bulk": Plan(1, bulk=1000),
    "`http`, in bulk": Plan(1, bulk=1000, front="http"),
    "`url`, in bulk": Plan(1, bulk=1000, front="url"),
    "`url`, in bulk, `WorkerBatchSize` 10": Plan(1, bulk=1000, front="url", batch=10),
}


def main() -> int:
    PAGE.write_text(regenerated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def regenerated(text: str) -> str:
    """Return the page with all its blocks simulated again."""
    return BLOCK.sub(lambda found: f"{found[1]}{BLOCKS[found[2]]().strip()}\n{found[3]}", text)


@functools.cache
def rungs(plan: Plan) -> tuple[Rung, ...]:
    return tuple(climb(plan))


def highest() -> Plan:
    """Return the plan with which the highest rate holds."""
    return rungs(Plan(HIGHEST))[-1].result.plan


def limits() -> str:
    plan = Plan(HIGHEST)
    rows = []
    for limit in LIMITS.values():
        if math.isinf(limit.number(plan)):
            continue
        allows = limit.orders_per_s(plan)
        remedy = limit.lifted(plan)
        rows.append(
            (
                limit.name,
                f"{limit.number(plan):,.0f} {limit.unit}",
                "" if math.isinf(allows) or limit.unit == "at first" else f"{allows:,.0f}",
                remedy.text if remedy else "nothing",
            )
        )
    return table(("limit", "default", "orders/s", f"what lifts it, here for {HIGHEST:,}"), rows)


def rates() -> str:
    rows = []
    for rate in RATES:
        climbed = rungs(Plan(rate))
        first = climbed[0]
        plan = climbed[-1].result.plan
        rows.append(
            (
                f"{rate:,}",
                wait(first.result),
                "<br>".join(rung.limit.name for rung in climbed if rung.limit),
                changes(plan).replace(" ", "<br>"),
                f"{monthly(plan):,.0f}",
                f"{monthly(replace(plan, front='url', bulk=1000)):,.0f}",
            )
        )
    heads = (
        "orders/s",
        "backlog of 30 minutes with the defaults",
        "limits met, one after the other",
        "with these the rate holds",
        "dollars a month",
        "with `Front=url`, in bulk",
    )
    return table(heads, rows)


def monthly(plan: Plan) -> float:
    return dollars.per_month(plan, sum(dollars.per_million(plan).values()))


def wait(result: Result) -> str:
    if result.done_at is None:
        return "never done"
    return f"done after {span(result.done_at - result.load_s)} more"


def ladder() -> str:
    lines = "\n".join(report(list(rungs(Plan(HIGHEST)))))
    return f"```\n$ make simulate ORDERS_PER_S={HIGHEST}\n{lines}\n```"


def yaml() -> str:
    """Return what orderline.yaml must say for the highest rate."""
    plan = highest()
    units = f"ReadUnitsPerSecond: {plan.warm_reads}, WriteUnitsPerSecond: {plan.warm}"
    warm = f"WarmThroughput: {{{units}}}"
    return f"""```yaml
# orderline.yaml
parameters:
  RequestsPerSecond: {plan.requests_per_s}
  RequestBurst: {plan.burst}
  ListShards: {plan.list_shards}
  DueShards: {plan.due_shards}
  WorkerBatchSize: {plan.batch}
resources:
  OrdersTable:
    Properties:
      {warm}
      GlobalSecondaryIndexes:
        - IndexName: by_time
          KeySchema:
            - {{AttributeName: time_shard, KeyType: HASH}}
            - {{AttributeName: time_key, KeyType: RANGE}}
          Projection: {{ProjectionType: INCLUDE, NonKeyAttributes: [task]}}
          {warm}
        - IndexName: by_due
          KeySchema:
            - {{AttributeName: check_shard, KeyType: HASH}}
            - {{AttributeName: check_at, KeyType: RANGE}}
          Projection: {{ProjectionType: KEYS_ONLY}}
          {warm}
  OrderWorker:
    Properties:
      Events:
        OrderWorkerSqsEventSource:
          Properties:
            ScalingConfig: !Ref AWS::NoValue
            ProvisionedPollerConfig:
              MinimumPollers: {min(plan.pollers, aws.MAX_MINIMUM_POLLERS)}
              MaximumPollers: {plan.pollers}
```"""


def trouble() -> str:
    outage = replace(
        highest(), orders_per_s=1000, failing=100, attempts=2, due_shards=64, warm=40_000
    )
    quick = Simulation(outage).run()
    minute = Simulation(replace(outage, backoff_s=120)).run()
    purged = Simulation(Plan(1, purged=1_000_000, minutes=60, concurrency=100)).run()
    burst = Simulation(replace(highest(), minutes=1, pollers=0, concurrency=1000)).run()
    rows = (
        (
            "every attempt of 1,000 orders/s fails; the next follows within 2 s",
            f"{quick.most_in_flight:,} of {aws.IN_FLIGHT:,} messages in flight",
        ),
        (
            "the same, and the next follows after a minute",
            f"{minute.most_in_flight:,} of {aws.IN_FLIGHT:,} messages in flight",
        ),
        (
            "the messages of 1,000,000 orders are lost",
            f"the sweeper has sent them again after {span(purged.purged_until or math.inf)}",
        ),
        (
            f"{HIGHEST * 60:,} orders in a minute, on an idle stack with `WorkerConcurrency` 1000",
            f"done {span((burst.done_at or math.inf) - burst.load_s)} later,"
            f" the oldest waited {burst.oldest_s:,} s",
        ),
    )
    return table(("what happens", "simulated"), rows)


def bills() -> str:
    rows = []
    for name, plan in FRONTS.items():
        parts = dollars.per_million(plan)
        cells = [f"{usd:.2f}" for usd in parts.values()]
        rows.append((name, *cells, f"**{sum(parts.values()):.2f}**"))
    cheapest = list(FRONTS.values())[-1]
    parts = {**dollars.per_million(cheapest), "DynamoDB": dollars.provisioned(cheapest)}
    cells = [f"{usd:.2f}" for usd in parts.values()]
    rows.append(
        ("the same, provisioned DynamoDB", *cells, f"**{sum(parts.values()):.2f}**"),
    )
    return table(("dollars per million orders", *parts, "all"), rows)


def crossing() -> str:
    rows = []
    for name, plan in FRONTS.items():
        cells = []
        for servers in SERVERS:
            millions = dollars.crossing(replace(plan, servers=servers))
            per_s = millions * 1e6 / dollars.SECONDS_PER_MONTH
            cells.append(f"{millions:,.0f} million = {per_s:,.0f}/s")
        rows.append((name, *cells))
    heads = [f"servers for {servers} dollars a month" for servers in SERVERS]
    return table(("orders a month, above which servers cost less", *heads), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


BLOCKS: dict[str, Callable[[], str]] = {
    "limits": limits,
    "rates": rates,
    "ladder": ladder,
    "yaml": yaml,
    "trouble": trouble,
    "bills": bills,
    "crossing": crossing,
}

if __name__ == "__main__":
    sys.exit(main())
