"""Scenarios of fan-in and of deliveries, and weakened models, each of which must break a property.

Each has its number of prerequisites, processes and events bounded; see `Config` of each model.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeAlias

from tests.model import deliveries, fan_in
from tests.model.deliveries_state import Config as DeliveryConfig
from tests.model.fan_in_state import Config
from tests.model.scenarios import Verdict
from tests.model.search import Result

AnyConfig: TypeAlias = Config | DeliveryConfig

_PLAIN = Config()
_NO_SWEEPER = Config(faults=0, sweeps=0)
_REQUESTS = Config(retries=1, order_retries=1, cancels=1, faults=0)
_DEAD_LETTERS = Config(dead_letters=1, order_retries=1, cancels=1, faults=0)
_DELIVERY = DeliveryConfig(posts=1, retries=0)
_TWO_POSTS = DeliveryConfig(posts=2, retries=0)
_RETRY = DeliveryConfig(posts=1, retries=1)
_REFUSED = replace(_RETRY, failures=1, delivery_retries=1)


def _both(name: str, config: Config) -> dict[str, AnyConfig]:
    """Return a scenario with each value of `when`."""
    return {f"{name}, when {when}": replace(config, when=when) for when in ("success", "end")}


SCENARIOS: dict[str, AnyConfig] = {
    **_both("fan-in, three at once", Config(actors=3, repeats=1, strays=1)),
    **_both("fan-in, two faults and two sweeps", Config(faults=2, sweeps=2, repeats=1)),
    **_both("fan-in, cancel and retry", replace(_REQUESTS, faults=1)),
    **_both("fan-in, three requests at once", replace(_REQUESTS, actors=3, strays=1, sweeps=0)),
    **_both("fan-in, dead letters", replace(_DEAD_LETTERS, faults=1)),
    "deliveries, three at once": replace(_TWO_POSTS, actors=3, faults=2, sweeps=2),
    "deliveries, two retries": replace(_RETRY, retries=2),
    "deliveries, refused and retried": replace(_REFUSED, posts=2),
}
SHORT: dict[str, AnyConfig] = {
    **_both("fan-in", _PLAIN),
    **_both("fan-in, duplicates, no sweeper", replace(_NO_SWEEPER, repeats=1, strays=1)),
    **_both("fan-in, a retry", replace(_NO_SWEEPER, retries=1, order_retries=1)),
    "deliveries, two at once": _TWO_POSTS,
    "deliveries, a retry": _RETRY,
}
_WEAKENED: dict[str, Config] = {
    "a counter": replace(_NO_SWEEPER, repeats=1),
    "release before the final write": _PLAIN,
    "a blind sweeper": _PLAIN,
    "a sweep releases only": _PLAIN,
    "claim without run_at": replace(_NO_SWEEPER, strays=1),
    "claim of a running order": replace(_NO_SWEEPER, strays=1),
    "join of a final order": _NO_SWEEPER,
    "join takes the fence": _NO_SWEEPER,
    "message before READY": _NO_SWEEPER,
    "READY with waits_for": replace(_REQUESTS, when="end"),
    "READY sets run_at to now": _NO_SWEEPER,
    "READY of any status": replace(_NO_SWEEPER, cancels=1),
    "release of any status": replace(_NO_SWEEPER, cancels=1),
    "release in any round": replace(_REQUESTS, when="end"),
    "no second read": _REQUESTS,
    "any end is enough": _NO_SWEEPER,
    "a refused join is no end": _NO_SWEEPER,
    "give up only once": _NO_SWEEPER,
    "give up without the fence": _REQUESTS,
    "T11 keeps run_at": replace(_REQUESTS, strays=1),
    "a dead letter goes by run_at": Config(strays=1, dead_letters=1, faults=0),
    "the sweeper goes by the shard": _DEAD_LETTERS,
}
_WEAKENED_DELIVERIES: dict[str, DeliveryConfig] = {
    "the order first": _DELIVERY,
    "gone at once": _DELIVERY,
    "a stray is not recognised": _TWO_POSTS,
    "a stray of a retry is not recognised": replace(_RETRY, mutation="a stray is not recognised"),
    "a stray is left": _TWO_POSTS,
    "a blind sweeper of deliveries": _DELIVERY,
    "a stray at once": _RETRY,
    "the current status only": _RETRY,
    "a retry without a delivery": _RETRY,
    "an end is forgotten": _REFUSED,
    "T11 replaces the dependents": _REFUSED,
}
MUTATIONS: dict[str, AnyConfig] = {
    **{name: replace(config, mutation=name) for name, config in _WEAKENED.items()},
    **{
        name: replace(config, mutation=config.mutation or name)
        for name, config in _WEAKENED_DELIVERIES.items()
    },
}


def judge(config: AnyConfig) -> Verdict:
    """Check the properties of fan-in or of deliveries, until one is broken."""
    if isinstance(config, Config):
        return _verdict(fan_in.check(config))
    return _verdict(deliveries.check(config))


def _verdict(result: Result[Any]) -> Verdict:
    return Verdict(len(result.states), {result.broken: result.trace} if result.broken else {})
