"""The model with small bounds; `make proof-model` checks all of it."""

from __future__ import annotations

import pytest

from tests.model.scenarios import MUTATIONS, SHORT, judge

SLOW = ("T10 touches a live lease", "T10 makes a row")  # `make proof-model` checks them


@pytest.mark.parametrize("name", SHORT)
def test_no_property_breaks(name: str) -> None:
    verdict = judge(SHORT[name])

    assert verdict.violations == {}
    assert verdict.states > 1000


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in SLOW])
def test_a_weakened_table_breaks_a_property(name: str) -> None:
    assert judge(MUTATIONS[name], first_only=True).violations
