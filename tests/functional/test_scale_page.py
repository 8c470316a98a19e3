"""docs/scale.md: its numbers are those of the simulation, its orderline.yaml fits the template."""

from __future__ import annotations

from benchmarks.simulate import page
from benchmarks.simulate.ladder import climb
from benchmarks.simulate.plan import Plan, parse

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


def test_the_defaults_are_those_that_the_page_states() -> None:
    assert Plan(1).requests_per_s / Plan(1).requests_per_order == 50
