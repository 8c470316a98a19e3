"""Place the deliveries that tell an owner's webhook endpoints of the end of an order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from msgspec import to_builtins

from chalicelib import config, ending, logs
from chalicelib.building import NewOrder, build
from chalicelib.errors import ConditionFailed, InvalidNotify, Unavailable
from chalicelib.orders import Order
from chalicelib.table import transitions
from chalicelib.tasks import is_built_in
from chalicelib.webhooks import endpoints, rounds
from chalicelib.webhooks.rounds import DELIVER, Notice

MAX_NAMES = 10  # of the endpoints that an order names: each costs a row


def check(owner: str, task: str, names: Sequence[str]) -> list[str]:
    """Return the endpoints that will hear of a new order: those it names, and those for all.

    Raises InvalidNotify, with a pointer to the name, if one can't be told.
    """
    if names and not config.webhooks_on():
        raise InvalidNotify("webhooks are off; add `webhooks:` to orderline.yaml", "/notify")
    if len(names) > MAX_NAMES:
        raise InvalidNotify(f"an order names at most {MAX_NAMES} webhook endpoints", "/notify")
    known = endpoints.of_owner(owner).every if names else frozenset()
    if not known.issuperset(names):
        # It may have been registered within the last minute
        known = endpoints.of_owner(owner, fresh=True).every
    for n, name in enumerate(names):
        if name not in known:
            listed = ", ".join(sorted(known)) or "none; `python -m dev webhook add` registers one"
            raise InvalidNotify(
                f"no webhook endpoint of yours is called {name[:40]!r}; there are: {listed}",
                f"/notify/{n}",
            )
        if not _is_enabled(owner, name):
            raise InvalidNotify(
                f"the webhook endpoint {name!r} is disabled, since its receiver answered 410 Gone;"
                " remove it and add it again",
                f"/notify/{n}",
            )
    return of(owner, task, names)


def of(owner: str, task: str, names: Iterable[str]) -> list[str]:
    """Return those of the named endpoints, and of those for all orders, that are not disabled."""
    if is_built_in(task) or not config.webhooks_on():
        return []
    wanted = dict.fromkeys([*names, *sorted(endpoints.of_owner(owner).all)])
    return [name for name in wanted if _is_enabled(owner, name)]


def place(order: Order, names: Iterable[str], retry_round: int) -> list[Order]:
    """Write a delivery for each endpoint, before the order itself names them. Raises Unavailable.

    Args:
        order: the order as it will be written
        names: names of endpoints of its owner
        retry_round: the round whose end the deliveries tell of
    """
    deliveries = []
    for name in names:
        notice = Notice(order.owner, order.id, retry_round, name)
        request = NewOrder(DELIVER, to_builtins(notice), after=(order.id,), when="end")
        delivery, _ = build(order.owner, request, None, {})
        deliveries.append(transitions.insert(delivery))
        logs.event("order_accepted", order=delivery.id, task=DELIVER)
    return deliveries


def withdraw(deliveries: Iterable[Order], row: Order | None) -> None:
    """Cancel the deliveries that an order's row does not name. Else the sweeper does it later."""
    for delivery in deliveries:
        if rounds.is_named(delivery, row):  # our write had taken effect, and others followed
            continue
        with suppress(ConditionFailed, Unavailable):
            ending.log(transitions.cancel(delivery))


def ids_of(deliveries: Iterable[Order]) -> frozenset[str]:
    """Return the ids of deliveries, which their order names."""
    return frozenset(delivery.id for delivery in deliveries)


def _is_enabled(owner: str, name: str) -> bool:
    endpoint = endpoints.find_enabled(owner, name)
    return endpoint is not None and not endpoint.disabled
