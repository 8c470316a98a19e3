"""The model in short: small bounds here, all of it by `make proof-model`."""

from __future__ import annotations

import pytest

from tests.model.scenarios import MUTATIONS, SHORT, judge

SLOW = ("T10 touches a live lease", "T10 makes a row")  # seconds; `make proof-model` has them


@pytest.mark.parametrize("name", SHORT)
def test_nothing_breaks(name: str) -> None:
    verdict = judge(SHORT[name])

    assert verdict.broken == {}
    assert verdict.states > 1000


@pytest.mark.parametrize("name", [name for name in MUTATIONS if name not in SLOW])
def test_a_weakened_table_breaks(name: str) -> None:
    assert judge(MUTATIONS[name], first_only=True).broken
