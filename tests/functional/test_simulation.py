"""`make simulate` counts what the app's own code does: each step, and fifty orders as a whole."""

from __future__ import annotations

import io
import random
from collections import Counter
from contextlib import redirect_stdout
from dataclasses import dataclass, field

import pytest

from benchmarks import bulk_costs, costs
from benchmarks.simulate import dollars, order
from benchmarks.simulate.order import Writes
from benchmarks.simulate.plan import FRONTS, Plan
from benchmarks.simulate.run import Simulation
from chalicelib import queue, tasks
from chalicelib.dispatch import FAILED
from testkit import Cloud, Wire
from testkit.wire import Call
from tests.kit import units
from tests.kit.units import Item, Meter

ATTEMPTS = 3


@dataclass
class PartMeter(Meter):
    """A meter that also tells which part of the table each unit is for."""

    parts: Counter[str] = field(default_factory=Counter)

    def _after_call(self, call: Call) -> None:
        super()._after_call(call)
        if call.operation in ("PutItem", "UpdateItem"):
            after = self._row(call.request)
            self.parts["table"] += units.written(self._before, after, [])
            for index in units.indexes("orders"):
                self.parts.update(_entries(index, self._before, after))

    def step(self) -> Writes:
        """Return the units since the last step."""
        writes = Writes(**self.parts)
        assert writes.total == sum(self.writes)
        self.parts.clear()
        self.writes.clear()
        return writes


def _entries(index: units.Index, before: Item, after: Item) -> Counter[str]:
    """Return the units of the entries of an index that a write removes and adds."""
    old = index.entry(before)
    new = index.entry(after)
    if old == new:
        return Counter()
    return Counter(_part(index, entry) for entry in (old, new) if entry)


def _part(index: units.Index, entry: Item) -> str:
    failed = entry.get("check_shard", {"S": ""})["S"].startswith(f"{FAILED}#")
    return "failures" if failed else index.name


@pytest.fixture
def meter(cloud: Cloud, wire: Wire) -> PartMeter:
    """Cache the token, so that no test counts its read."""
    cloud.http("GET", "/tasks")
    wire.calls.clear()
    return PartMeter(cloud, wire)


@pytest.fixture(autouse=True)
def _two_tasks() -> None:
    @tasks.task(max_attempts=ATTEMPTS, backoff_s=2)
    def burn() -> None:
        raise ValueError

    @tasks.task
    def fry() -> None:
        pass


def test_placing_claiming_and_succeeding_cost_what_the_simulation_says(
    cloud: Cloud, meter: PartMeter
) -> None:
    order_id = cloud.place("fry")["id"]
    assert meter.step() == order.INSERT
    cloud.claim(order_id, lease_s=0)
    meter.reads.clear()  # that of `claim` itself
    assert meter.step() == order.CLAIM
    cloud.clock.advance(1)
    cloud.drain()
    succeeded = meter.step()
    assert succeeded == Writes(
        table=order.CLAIM.table + order.SUCCEED.table, by_due=order.SUCCEED.by_due
    )
    cloud.get(order_id)
    assert meter.reads == [order.POLL_READS]


def test_failing_costs_what_the_simulation_says(cloud: Cloud, meter: PartMeter) -> None:
    cloud.place("burn")
    meter.step()
    for expected in (order.PUT_BACK, order.PUT_BACK, order.FAIL):
        cloud.deliver()
        attempt = meter.step()
        assert attempt == Writes(
            order.CLAIM.table + expected.table, 0, expected.by_due, expected.failures
        )
        cloud.clock.advance(10)


def test_a_lost_message_costs_what_the_simulation_says(
    cloud: Cloud, wire: Wire, meter: PartMeter
) -> None:
    cloud.place("fry")
    cloud.sqs.purge_queue(QueueUrl=queue.url())
    cloud.clock.advance(130)
    meter.step()
    wire.calls.clear()
    meter.reads.clear()
    cloud.sweep()

    assert meter.step() == order.RESEND
    queries = wire.calls.count("Query") * 0.5
    assert sum(meter.reads) - queries == order.RESEND_READS
    of_the_sweep = {"Query", "GetQueueAttributes"}
    of_the_order = Counter(call for call in wire.calls if call not in of_the_sweep)
    assert of_the_order == Counter(["BatchGetItem", "UpdateItem", "SendMessageBatch"])


def test_simulated_long_backoffs_use_what_real_ones_use(
    cloud: Cloud, wire: Wire, meter: PartMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of five orders leaves the queue after its first attempt, and fails at its second."""

    @tasks.task(max_attempts=2, backoff_s=3600)
    def stew() -> None:
        raise ValueError

    # The simulated wait is the mean of full jitter
    monkeypatch.setattr(random, "uniform", lambda low, high: (low + high) / 2)
    for _ in range(5):
        cloud.place("stew")
    cloud.drain()
    assert cloud.messages() == 0
    for _ in range(35):
        cloud.clock.advance(60)
        cloud.drain()
        cloud.sweep()
    plan = Plan(5, task_ms=0, polls=0, failing=100, attempts=2, backoff_s=3600)
    simulated = Simulation(plan, load_s=1).run().counts

    of_sweeps = Counter(wire.calls)
    queries = of_sweeps.pop("Query")
    del of_sweeps["GetQueueAttributes"]
    assert simulated.failed == 5
    assert simulated.writes == meter.parts
    assert simulated.reads == sum(meter.reads) - queries * 0.5
    assert simulated.calls == of_sweeps


def test_an_order_logs_as_many_bytes_as_the_simulation_says() -> None:
    with redirect_stdout(io.StringIO()):
        counted = costs.flow().log_bytes

    # Durations and times of day have more or fewer digits
    assert sum(order.LOG_BYTES.values()) == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize(
    ("plan", "orders"),
    [
        (Plan(orders_per_s=1, task_ms=0, failing=20, attempts=ATTEMPTS, polls=1), 50),
        (Plan(orders_per_s=1, task_ms=0, failing=100, attempts=ATTEMPTS, polls=0), 5),
        (Plan(orders_per_s=1, task_ms=0, polls=3, owners=2, due_shards=1), 10),
    ],
    ids=["some fail", "all fail", "polled"],
)
def test_simulated_orders_use_what_real_ones_use(
    cloud: Cloud, wire: Wire, meter: PartMeter, plan: Plan, orders: int
) -> None:
    invocations = _place_and_work(cloud, wire, plan, orders)
    simulated = Simulation(plan, load_s=orders).run().counts

    assert simulated.accepted == orders
    assert simulated.writes == meter.parts
    assert simulated.reads == sum(meter.reads)
    assert simulated.calls == Counter(wire.calls)
    assert simulated.invocations == invocations
    statuses = Counter(row.status.value for row in cloud.rows())
    ended = {"SUCCESS": simulated.succeeded, "FAILED": simulated.failed}
    assert statuses == {status: number for status, number in ended.items() if number}


def _place_and_work(cloud: Cloud, wire: Wire, plan: Plan, orders: int) -> int:
    """Place and poll an order each second, as the plan has it; return how often a worker ran."""
    invocations = 0
    for second in range(orders):
        with wire.unseen():
            cloud.http("GET", "/tasks")  # the token is read once a minute
        number = second + 1
        fails = number * plan.failing // 100 > second * plan.failing // 100
        order_id = cloud.place("burn" if fails else "fry")["id"]
        for _ in range(plan.polls):
            cloud.get(order_id)
        invocations += cloud.drain().batches
        cloud.clock.advance(1)
    for _ in range(ATTEMPTS):
        cloud.clock.advance(60)
        invocations += cloud.drain().batches
    return invocations


def test_simulated_bulks_use_what_real_ones_use(cloud: Cloud, wire: Wire, meter: PartMeter) -> None:
    """Place 50 orders by three requests."""
    for number, size in enumerate((20, 20, 10)):
        reply = cloud.http(
            "POST",
            "/orders/bulk",
            {"orders": [{"task": "fry"}] * size},
            {"Idempotency-Key": f"bulk-{number}"},
        )
        assert reply.json["placed"] == size
    batches = cloud.drain(batch=10).batches
    plan = Plan(orders_per_s=50, task_ms=0, bulk=20, batch=10, polls=0)
    simulated = Simulation(plan, load_s=1).run().counts

    assert simulated.writes == meter.parts
    assert simulated.calls == Counter(wire.calls)
    assert (simulated.requests, simulated.invocations) == (3, batches)


@pytest.mark.parametrize("front", FRONTS)
def test_the_dollars_of_an_order_are_those_of_the_benchmark(front: str) -> None:
    with redirect_stdout(io.StringIO()):
        counted = costs.dollars(costs.flow(), front)
    simulated = dollars.per_million(Plan(orders_per_s=1, task_ms=0, front=front))

    assert list(simulated.values()) == pytest.approx(list(counted.values()), rel=0.01)


@pytest.mark.parametrize(("batch", "polls"), [(1, 1), (10, 0)])
def test_the_dollars_of_a_bulk_are_those_of_the_benchmark(batch: int, polls: int) -> None:
    with redirect_stdout(io.StringIO()):
        counted = bulk_costs.dollars(bulk_costs.counted(), "http", batch, polls)
    plan = Plan(
        orders_per_s=1, task_ms=0, front="http", bulk=bulk_costs.BULK, batch=batch, polls=polls
    )

    assert sum(dollars.per_million(plan).values()) == pytest.approx(sum(counted.values()), rel=0.01)


def test_the_dollars_are_those_of_the_simulated_units() -> None:
    plan = Plan(orders_per_s=1, minutes=5, failing=20, attempts=4, polls=2)
    counts = Simulation(plan).run().counts
    each = dollars.use(plan)

    assert sum(counts.writes.values()) == pytest.approx(each.write_units * 300)
    assert counts.reads == pytest.approx(each.read_units * 300)
    assert counts.requests == pytest.approx(each.requests * 300)
    assert counts.invocations == pytest.approx(each.runs * 300)
