"""docs/scale.md: its numbers are those of the simulation, its orderline.yaml fits the template."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.simulate import page
from benchmarks.simulate.ladder import climb
from benchmarks.simulate.plan import Plan, parse
from dev.packaging import own
from dev.packaging.package import template
from tests.kit import pages

TEXT = page.PAGE.read_text(encoding="utf-8")


def test_the_numbers_of_the_page_are_those_of_the_simulation() -> None:
    """`python -m benchmarks.simulate.page` writes them."""
    assert page.regenerated(TEXT) == TEXT


def test_every_block_is_on_the_page() -> None:
    assert sorted(found[2] for found in page.BLOCK.finditer(TEXT)) == sorted(page.BLOCKS)


def test_the_rates_hold_with_the_arguments_on_the_page() -> None:
    for rate in page.RATES:
        (row,) = [line for line in page.rates().splitlines() if line.startswith(f"| {rate:,} |")]
        arguments = row.split(" | ")[3].split("<br>")
        rungs = list(climb(parse([f"ORDERS_PER_S={rate}", *arguments])))
        assert [rung.limit for rung in rungs] == [None], rate


def test_the_page_says_what_the_template_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERLINE_YAML", "/nonexistent")
    before = template("prod")
    path = tmp_path / own.NAME
    pages.add_to_own(
        path, *(block.text for block in pages.blocks("scale.md") if block.file == own.NAME)
    )
    monkeypatch.setenv("ORDERLINE_YAML", str(path))
    after = template("prod")

    plan = page.highest()
    assert plan.orders_per_s == page.HIGHEST
    warm = {"ReadUnitsPerSecond": plan.warm_reads, "WriteUnitsPerSecond": plan.warm}
    assert _indexes(after) == [{**each, "WarmThroughput": warm} for each in _indexes(before)]
    assert after["Parameters"]["DueShards"]["Default"] == plan.due_shards
    assert after["Parameters"]["WorkerBatchSize"]["Default"] == plan.batch
    assert after["Parameters"]["ListShards"]["Default"] == plan.list_shards
    assert after["Parameters"]["RequestBurst"]["Default"] == plan.burst
    (event,) = after["Resources"]["OrderWorker"]["Properties"]["Events"].values()
    assert event["Properties"]["ScalingConfig"] == {"Ref": "AWS::NoValue"}
    assert event["Properties"]["ProvisionedPollerConfig"]["MaximumPollers"] == plan.pollers


def _indexes(made: Any) -> Any:
    return made["Resources"]["OrdersTable"]["Properties"]["GlobalSecondaryIndexes"]


def test_the_defaults_are_those_that_the_page_states() -> None:
    assert Plan(1).requests_per_s / Plan(1).requests_per_order == 50
