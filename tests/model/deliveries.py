"""A model of webhooks: deliveries are orders that wait for the order of which they tell.

The API places the delivery first, then the order, whose first write names the delivery; a retry
places another delivery, and its write names it too. Each AWS call is one step, and any function may
crash before each of its calls. What fan_in.py shows is one step here: release, READY and message.

The properties:

D1  no two deliveries tell of the same end
D2  a delivery tells of its own round, after the order was accepted and that round has ended
D3  it tells the status with which its round has ended
D4  as long as nothing crashes, the sweeper is not needed: each end is told of, no stray stays
D5  if everything crashes, two sweeps of each delivery are enough for the same (see `heal`)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from tests.model.deliveries_state import (
    CANCELLED,
    FAILED,
    FINAL,
    GONE,
    PENDING,
    PLACES,
    RUNNING,
    SUCCESS,
    TELLS,
    WITHOUT_SUCCESS,
    Config,
    Delivery,
    Left,
    Process,
    State,
    add,
    name,
    put,
    spend,
)
from tests.model.search import Result, Step, search


def check(config: Config) -> Result[State]:
    """Search all states, then whether each of them heals."""
    left = Left(*(getattr(config, name) for name in Left._fields))
    first = State("", (), (), (), left)
    result = search([first], partial(_steps, config), partial(_quiet, config))
    return result if result.broken else heal(config, result)


def heal(config: Config, result: Result[State]) -> Result[State]:
    """Let everything crash in each state, and search for one that the sweeps do not help (D5)."""
    config = replace(config, actors=1)
    crashed = (
        state._replace(
            deliveries=tuple(d._replace(message=False, sweeps=2) for d in state.deliveries),
            processes=(),
            left=Left(0, 0, 0, 0, 0),
        )
        for state in result.states
    )

    def invariant(state: State, is_last: bool) -> str:
        return "D5" if is_last and not _is_settled(state) else ""

    healed = search(crashed, partial(_steps, config), invariant)
    return Result(result.states, healed.broken, healed.trace)


def _quiet(config: Config, state: State, is_last: bool) -> str:
    acts = state.processes or any(delivery.message for delivery in state.deliveries)
    crashed = state.left.faults < config.faults
    return "" if acts or crashed or _is_settled(state) else "D4"


def _is_settled(state: State) -> bool:
    """Return True if each end was told of, and no delivery waits but for an order that runs.

    A delivery whose receiver refuses it is FAILED, and has done what it can.
    """
    for index in range(len(state.ends)):
        own = [delivery for delivery in state.deliveries if delivery.round == index]
        if not any(delivery.told or delivery.status == FAILED for delivery in own):
            return False
    return all(
        delivery.status in FINAL
        or (delivery.named and delivery.round == state.round and state.status == PENDING)
        for delivery in state.deliveries
    )


def _steps(config: Config, state: State) -> Iterator[Step[State]]:
    may_start = len(state.processes) < config.actors
    yield from _world(config, state)
    if may_start:
        yield from _clients(config, state)
        for status in (SUCCESS, FAILED, CANCELLED) if state.status == PENDING else ():
            ended = state._replace(status=status, ends=(*state.ends, status))
            yield Step(f"the order ends: {status}", _ended(ended, Process("")))
    for process in dict.fromkeys(state.processes):
        index = state.processes.index(process)
        rest = state._replace(processes=state.processes[:index] + state.processes[index + 1 :])
        if state.left.faults:
            yield Step(f"a crash before {process.pc}", spend(rest, "faults"))
        yield from _continue(config, rest, process)


def _clients(config: Config, state: State) -> Iterator[Step[State]]:
    if state.left.posts:
        posted = spend(state, "posts")
        if config.mutation == "the order first":
            yield Step("a POST begins", add(posted, Process("insert the order", -1)))
        else:
            yield _insert_delivery(config, posted, Process("insert the order", round=0), 0)
    if state.status in WITHOUT_SUCCESS and state.left.retries:
        reader = Process("", round=state.round, then="insert a delivery")
        yield Step("a retry begins", _ended(spend(state, "retries"), reader))
    for index, delivery in enumerate(state.deliveries):
        if delivery.status == FAILED and state.left.delivery_retries and delivery.named:
            again = delivery._replace(status=PENDING, waits=True)
            after = put(spend(state, "delivery_retries"), index, again)
            yield Step(f"delivery {index} is retried", add(after, Process("settle", index)))


def _world(config: Config, state: State) -> Iterator[Step[State]]:
    """Let a worker claim a delivery, and the sweeper look at one."""
    may_start = len(state.processes) < config.actors
    for index, delivery in enumerate(state.deliveries):
        is_held = any(p.delivery == index and p.pc in TELLS for p in state.processes)
        is_open = delivery.status in (PENDING, RUNNING) and not is_held
        if delivery.message and not is_held and may_start:
            claimed = put(state, index, delivery._replace(status=RUNNING, message=False))
            if is_open and not delivery.waits:
                yield Step(f"delivery {index} starts", add(claimed, Process("read", index)))
            else:
                acknowledged = put(state, index, delivery._replace(message=False))
                yield Step("a message is acknowledged", acknowledged)
        is_seen = not (delivery.waits and config.mutation == "a blind sweeper of deliveries")
        if is_open and delivery.sweeps and may_start and is_seen:
            swept = delivery._replace(sweeps=delivery.sweeps - 1, message=not delivery.waits)
            after = put(state, index, swept)
            if delivery.waits:
                after = add(after, Process("settle", index))
            yield Step(f"the sweeper requeues delivery {index}", after)


def _continue(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Yield the next call of a process."""
    if process.pc in TELLS:
        yield from _tell(config, rest, process)
    elif process.pc == "settle":
        yield from _settle(config, rest, process)
    elif process.pc == "insert a delivery":
        if config.mutation == "a retry without a delivery":
            yield Step("no delivery is placed", add(rest, process._replace(pc="T11")))
        else:
            after = process._replace(pc="T11", then="")
            yield _insert_delivery(config, rest, after, process.round + 1)
    elif process.pc == "insert the order":
        yield _insert_order(config, rest, process)
    elif process.pc == "insert it late":
        yield _insert_delivery(config, rest, Process(""), 0, named=True)
    elif process.pc == "T11":
        yield _retry(config, rest, process)
    else:
        yield Step(f"{process.pc}: delivery {process.delivery}", _write(rest, process))


def _insert_delivery(
    config: Config, state: State, process: Process, order_round: int, named: bool = False
) -> Step[State]:
    """Insert a delivery for a round, and go on with it."""
    new = Delivery(order_round, sweeps=config.sweeps, named=named)
    index = len(state.deliveries)
    state = state._replace(deliveries=(*state.deliveries, new))
    after = add(state, process._replace(delivery=index)) if process.pc else state
    return Step(f"delivery {index} of round {order_round} is inserted", after)


def _insert_order(config: Config, rest: State, process: Process) -> Step[State]:
    """Insert the order, which names its delivery: only now it is accepted."""
    if rest.status:
        own = Process("cancel its own", process.delivery)
        if config.mutation == "a stray is left":
            return Step("the order is a replay", rest)
        return Step("the order is a replay", add(rest, own) if process.delivery >= 0 else rest)
    accepted = rest._replace(status=PENDING)
    if process.delivery < 0:
        return Step("the order is inserted", add(accepted, Process("insert it late")))
    return Step("the order is inserted", name(accepted, process.delivery))


def _retry(config: Config, rest: State, process: Process) -> Step[State]:
    """Start another retry round, which names its delivery."""
    if rest.status not in WITHOUT_SUCCESS or rest.round != process.round:
        own = Process("cancel its own", process.delivery)
        return Step("T11 is refused", add(rest, own) if process.delivery >= 0 else rest)
    if config.mutation == "T11 replaces the dependents":
        rest = rest._replace(deliveries=tuple(d._replace(named=False) for d in rest.deliveries))
    retried = rest._replace(status=PENDING)
    return Step("T11", name(retried, process.delivery) if process.delivery >= 0 else retried)


def _settle(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Read the order, and decide what becomes of a delivery that waits."""
    index = process.delivery
    delivery = rest.deliveries[index]
    # After 15 minutes the function that placed it can't name it any more
    is_old = not any(p.delivery == index and p.pc in PLACES for p in rest.processes)
    is_later = rest.round > delivery.round and config.mutation != "an end is forgotten"
    has_ended = rest.status in FINAL or is_later
    if delivery.status != PENDING or not delivery.waits:
        pc = ""
    elif not rest.status:
        pc = "prerequisite_gone" if is_old or config.mutation == "gone at once" else ""
    elif not delivery.named and config.mutation != "a stray is not recognised":
        pc = "cancel the stray" if is_old or config.mutation == "a stray at once" else ""
    elif not delivery.named and not has_ended:
        pc = "join"
    else:
        pc = "release" if has_ended else ""
    label = f"the order is read for delivery {index}: {pc or 'nothing to do'}"
    yield Step(label, add(rest, process._replace(pc=pc)) if pc else _next(rest, process))


def _write(rest: State, process: Process) -> State:
    """Do a write to a delivery that still waits; it is refused otherwise."""
    delivery = rest.deliveries[process.delivery]
    if delivery.status == PENDING and delivery.waits:
        written = {
            "release": delivery._replace(waits=False, message=True),
            "join": delivery._replace(named=True),
            "prerequisite_gone": delivery._replace(status=GONE),
            "cancel the stray": delivery._replace(status=CANCELLED),
            "cancel its own": delivery._replace(status=CANCELLED),
        }
        rest = put(rest, process.delivery, written[process.pc])
    return _next(rest, process)


def _tell(config: Config, rest: State, process: Process) -> Iterator[Step[State]]:
    """Read how the round has ended, tell it, and finish."""
    index = process.delivery
    delivery = rest.deliveries[index]
    if process.pc == "read":
        past = rest.ends[delivery.round : delivery.round + 1]
        status = past[0] if past else ""
        if config.mutation == "the current status only":
            status = rest.status
        reader = process._replace(pc="tell", known=status)
        yield Step(f"the end is read: {status}", add(rest, reader))
    elif process.pc == "tell":
        told = put(rest, index, delivery._replace(told=True))
        after = add(told, process._replace(pc="finish", known=SUCCESS))
        yield Step(f"delivery {index} tells", after, _untrue(rest, index, process.known))
        if rest.left.failures:
            refused = add(spend(rest, "failures"), process._replace(pc="finish", known=FAILED))
            yield Step(f"the receiver refuses delivery {index}", refused)
    else:
        ended = put(rest, index, delivery._replace(status=process.known))
        yield Step(f"delivery {index} ends: {process.known}", ended)


def _untrue(state: State, index: int, status: str) -> str:
    """Return the property that a delivery breaks when it tells a status."""
    own = state.deliveries[index]
    others = [d for d in state.deliveries[:index] + state.deliveries[index + 1 :] if d.told]
    if any(other.round == own.round for other in others):
        return "D1"
    if own.round >= len(state.ends):
        return "D2"
    return "" if state.ends[own.round] == status else "D3"


def _ended(state: State, process: Process) -> State:
    """Settle the order's dependents, which its final write or a read has returned."""
    todo = tuple(n for n, delivery in enumerate(state.deliveries) if delivery.named)
    return _next(state, process._replace(todo=todo, known=state.status))


def _next(state: State, process: Process) -> State:
    """Go on to the next dependent, or to what follows them."""
    if process.todo:
        first, *others = process.todo
        pc = "release" if process.known == SUCCESS else "settle"
        return add(state, process._replace(pc=pc, delivery=first, todo=tuple(others)))
    if process.then:
        return add(state, process._replace(pc=process.then, delivery=-1, then=""))
    return state
