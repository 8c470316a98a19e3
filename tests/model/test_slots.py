"""No window has more starts than the limit, in every interleaving of a small number of orders."""

from __future__ import annotations

import pytest

from chalicelib.orders import CLOCK_SKEW_S, START_WITHIN_S
from chalicelib.table import slots
from tests.model.slots import Config, search


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(per_window=1, orders=2),
        Config(within=1, skew=2),
        Config(window=3, within=3, skew=0),
    ],
    ids=str,
)
def test_no_window_has_more_starts_than_the_limit(config: Config) -> None:
    states, broken = search(config)

    assert broken is None
    assert states > 1000


@pytest.mark.parametrize(
    "mutation",
    ["slots without tolerance", "an early start", "a late start", "an unconditional start"],
)
def test_a_weakened_rule_breaks_the_limit(mutation: str) -> None:
    _, broken = search(Config(mutation=mutation))

    assert broken is not None


def test_the_model_has_the_distance_of_the_code() -> None:
    config = Config(slots.WINDOW_S, START_WITHIN_S, CLOCK_SKEW_S, per_window=5)

    assert config.step * 1_000_000 == slots.step(5)
