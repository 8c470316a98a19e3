"""Fan-in and deliveries with small bounds; `make proof-model` checks all of them."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.model import deliveries, fan_in
from tests.model.fan_in_scenarios import MUTATIONS, SHORT, judge
from tests.model.scenarios import Verdict
from tests.model.search import Step, search


@pytest.mark.parametrize("name", SHORT)
def test_no_property_breaks(name: str) -> None:
    verdict = judge(SHORT[name])

    assert verdict.violations == {}
    assert verdict.states > 1000


@cache
def _weakened(name: str) -> Verdict:
    return judge(MUTATIONS[name])


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_weakened_model_breaks_a_property(name: str) -> None:
    assert _weakened(name).violations


def test_each_property_is_broken_by_a_weakened_model() -> None:
    broken = {name for mutation in MUTATIONS for name in _weakened(mutation).violations}

    for model in (fan_in, deliveries):
        properties = re.findall(r"^([FD]\d)  ", model.__doc__ or "", re.MULTILINE)
        assert properties
        assert broken.issuperset(properties)


def test_the_search_reaches_each_state_once() -> None:
    result = search(
        [0],
        lambda state: iter([Step("double", state * 2 % 10), Step("add", (state + 1) % 10)]),
        lambda *_: "",
    )

    assert sorted(result.states) == list(range(10))
    assert not result.broken


def test_the_search_gives_the_shortest_trace_to_a_broken_property() -> None:
    result = search(
        [1],
        lambda state: iter([Step("add", state + 1), Step("double", state * 2)]),
        lambda state, _: "too large" if state >= 8 else "",
    )

    assert result.broken == "too large"
    assert result.trace == ["add", "double", "double"]


def test_the_search_tells_a_state_that_nothing_leads_on_from() -> None:
    result = search(
        [3],
        lambda state: iter([Step("subtract", state - 1)] if state else []),
        lambda state, is_last: f"ends in {state}" if is_last else "",
    )

    assert result.broken == "ends in 0"
