"""A model of a task's slots: functions that reserve them, and starts that are early, late or never.

It has the next free slot in a row, and orders that each take the tries of `slots.reserve`, wait,
and start by a worker whose clock may be ahead of another's; an order that has started is replaced
by a new one. Times are whole units, relative to now. Every interleaving is searched, without an
end; no window may have more starts than it should.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Config:
    """Sizes in units of time, and what a weakened model does."""

    window: int = 4
    within: int = 2  # an order starts less than this after its slot, by its worker's clock
    skew: int = 1  # largest difference of two clocks
    per_window: int = 2
    orders: int = 3
    mutation: str = ""

    @property
    def step(self) -> int:
        tolerance = 0 if self.mutation == "slots without tolerance" else self.within + self.skew
        return -(-(self.window + tolerance) // self.per_window)

    @property
    def past(self) -> int:
        """How long ago a time must be to make no difference any more."""
        return self.within + self.skew + 1


class Order(NamedTuple):
    """An order: new, trying to reserve, or waiting for its slot."""

    status: str = "new"
    time: int = 0  # the time by which it reserves, or its slot
    ahead: bool = False  # it tries as if the next free slot were ahead


class State(NamedTuple):
    """The next free slot, the orders, and the starts of the window that ends now."""

    next_at: int
    orders: tuple[Order, ...]
    starts: tuple[int, ...]


def search(config: Config) -> tuple[int, State | None]:
    """Return the number of states, and the first that breaks the limit, if any."""
    first = State(-config.past, (Order(),) * config.orders, ())
    states = [first]
    known = {first}
    for state in states:  # the list grows during the loop
        for after in _steps(config, state):
            if after not in known:
                if len(after.starts) > config.per_window:
                    return len(states), after
                known.add(after)
                states.append(after)
    return len(states), None


def _steps(config: Config, state: State) -> Iterator[State]:
    yield _tick(config, state)
    for n, order in enumerate(state.orders):
        if order not in state.orders[:n]:
            others = state.orders[:n] + state.orders[n + 1 :]
            for after, changed in _order_steps(config, state, order):
                orders = tuple(sorted((*others, changed)))
                yield after._replace(orders=orders)


def _tick(config: Config, state: State) -> State:
    """Let a unit of time pass: every time is one less; those long past are all the same."""
    return State(
        max(state.next_at - 1, -config.past),
        tuple(
            sorted(
                order
                if order == Order()
                else order._replace(time=max(order.time - 1, -config.past))
                for order in state.orders
            )
        ),
        tuple(start - 1 for start in state.starts if start - 1 > -config.window),
    )


def _order_steps(config: Config, state: State, order: Order) -> Iterator[tuple[State, Order]]:
    clocks = range(config.skew + 1)
    if order.status == "new":
        for now in clocks:
            for ahead in (False, True):
                yield state, Order("trying", now, ahead)
    elif order.status == "trying":
        yield _try(config, state, order)
    elif order.status == "waiting":
        for now in clocks:
            if config.mutation == "an early start" or order.time <= now:
                is_late = now >= order.time + config.within
                if not is_late or config.mutation == "a late start":
                    yield state._replace(starts=(*state.starts, 0)), Order()
                else:
                    yield state, Order()  # it reserves another


def _try(config: Config, state: State, order: Order) -> tuple[State, Order]:
    """Do one conditional write of `slots.reserve`; the other kind follows a refused one."""
    passed = state.next_at < order.time or config.mutation == "an unconditional start"
    if order.ahead and state.next_at >= order.time:
        slot = state.next_at
    elif not order.ahead and passed:
        slot = order.time
    else:
        return state, order._replace(ahead=not order.ahead)
    return state._replace(next_at=slot + config.step), Order("waiting", slot)
