"""The simulation behaves as AWS's pages say, and its ladder ends where no limit is met."""

from __future__ import annotations

import inspect
from dataclasses import fields

import pytest

from benchmarks.simulate import __main__ as command
from benchmarks.simulate import aws, order
from benchmarks.simulate.ladder import climb
from benchmarks.simulate.limits import LIMITS
from benchmarks.simulate.needs import SWEEPER_S, admit_needs, start_needs
from benchmarks.simulate.plan import Plan, PlanMistake, parse
from benchmarks.simulate.result import Result
from benchmarks.simulate.run import Simulation
from chalicelib import dispatch
from chalicelib.execution import registry
from chalicelib.functions import checks
from testkit import template

# Nothing of ours is in the way; `run` lifts one of these again
WIDE = Plan(
    orders_per_s=1,
    requests_per_s=1_000_000,
    list_shards=100,
    due_shards=256,
    pollers=2000,
    lanes=10,
    warm=1_000_000,
    warm_reads=1_000_000,
    table_quota=10_000_000,
    gateway_quota=10_000_000,
    lambda_quota=1_000_000,
)


def run(orders_per_s: int, **arguments: int | str) -> Result:
    """Run a load on a stack that is wide but for these arguments."""
    members = {each.name: getattr(WIDE, each.name) for each in fields(Plan)}
    return Simulation(Plan(**{**members, "orders_per_s": orders_per_s, **arguments})).run()


@pytest.mark.parametrize(
    ("limit", "orders_per_s", "arguments"),
    [
        ("stage", 50, {"requests_per_s": 100}),
        ("gateway", 5000, {"gateway_quota": 10_000}),
        ("due_partitions", 500, {"due_shards": 1}),
        ("time_partitions", 1000, {"list_shards": 1}),
        ("time_partitions", 2000, {"list_shards": 1, "owners": 2}),
        ("table", 1333, {"warm": 4000}),
        ("reads", 4000, {"warm_reads": 12_000, "polls": 3}),
        ("executions", 198, {"lambda_quota": 1000, "wait_s": 5, "task_ms": 0}),
        ("invocations", 3333, {"lambda_quota": 1000, "task_ms": 0}),
    ],
)
def test_a_limit_is_met_above_the_rate_that_it_allows_and_not_below(
    limit: str, orders_per_s: int, arguments: dict[str, int]
) -> None:
    assert run(int(0.97 * orders_per_s), minutes=5, **arguments).met == {}
    above = run(int(1.1 * orders_per_s), minutes=5, **arguments)
    assert next(iter(above.met)) == limit
    assert LIMITS[limit].orders_per_s(above.plan) == pytest.approx(orders_per_s, rel=0.01)


def test_a_backlog_is_done_when_the_workers_had_the_time_for_it() -> None:
    # 2 workers, each 10 orders a second: 40 orders a second for a minute take two minutes
    result = run(40, minutes=1, pollers=0, concurrency=2, lanes=1, task_ms=75)

    assert result.done_at == pytest.approx(120, abs=3)
    assert result.met == {}, "no order waited longer than AGE_S"
    assert result.most_waiting == pytest.approx(20 * 60, rel=0.05)


def test_too_few_workers_are_a_limit_once_orders_wait_too_long() -> None:
    result = run(40, minutes=10, pollers=0, concurrency=2, lanes=1, task_ms=75)

    # The queue is FIFO and grows by 20 a second, so at second t the oldest has waited t / 2
    assert result.met == {"concurrency": pytest.approx(120, abs=4)}
    assert result.extrapolated is False
    assert result.done_at == pytest.approx(1200, abs=5)


def test_a_backlog_that_outlasts_the_simulation_is_extrapolated() -> None:
    result = run(40, minutes=240, pollers=0, concurrency=2, lanes=1, task_ms=175)

    assert result.extrapolated
    assert result.done_at == pytest.approx(4 * 240 * 60, rel=0.01)


def test_orders_that_never_fit_are_never_done() -> None:
    assert run(1, minutes=1, polls=100, requests_per_s=1).done_at is None


def test_the_mapping_begins_with_five_and_adds_three_hundred_a_minute() -> None:
    second = {"pollers": 0, "concurrency": 1000, "lanes": 1, "task_ms": 975}
    result = run(500, minutes=10, age_s=30, **second)

    # After t seconds 5 + 5t workers run, so at second 100 as many orders end as come in. By then
    # 25,000 wait, and the oldest of them has waited 50 s.
    assert list(result.met) == ["ramp"]
    assert result.oldest_s == pytest.approx(50, abs=2)


def test_provisioned_pollers_begin_with_ten_each() -> None:
    result = run(500, minutes=10, age_s=30, pollers=50, lanes=1, task_ms=975)

    assert (result.met, result.oldest_s) == ({}, 1)


def test_a_poller_makes_ten_calls_a_second() -> None:
    few = {"pollers": 20, "lanes": 1, "task_ms": 0, "minutes": 10}
    assert run(190, batch=1, **few).met == {}
    assert list(run(240, batch=1, **few).met) == ["receives"]
    assert run(240, batch=2, **few).met == {}


def test_a_new_table_takes_double_its_peak_after_half_an_hour() -> None:
    result = run(1600, minutes=60, warm=4000)

    assert list(result.met) == ["table"]
    assert aws.ADAPT_S <= result.last_met < 2 * aws.ADAPT_S
    assert result.recovered


def test_messages_that_are_hidden_for_a_backoff_fill_the_in_flight_quota() -> None:
    hidden = {
        "failing": 100,
        "backoff_s": 120,
        "attempts": 2,
        "lanes": 1,
        "batch": 10,
        "minutes": 5,
    }
    assert run(1900, **hidden).met == {}
    assert list(run(2100, **hidden).met) == ["in_flight"]


def test_a_longer_backoff_leaves_the_queue() -> None:
    result = run(20, failing=100, backoff_s=130, attempts=2, lanes=1, minutes=5)

    assert result.counts.calls["ChangeMessageVisibility"] == 0
    assert result.counts.calls["SendMessage"] == 20 * 300
    assert result.counts.calls["SendMessageBatch"] == 2 * 300, "twenty in each second"
    assert result.counts.failed == 20 * 300
    assert result.most_in_flight <= 2 * 20, "only what has just been received"


def test_more_long_backoffs_than_the_sweeper_can_send_are_a_limit() -> None:
    rate = LIMITS["sweeper"].number(WIDE)
    result = run(int(1.5 * rate), failing=100, backoff_s=130, attempts=2, minutes=30)

    assert list(result.met) == ["sweeper"]


def test_lost_messages_are_sent_again_as_fast_as_the_sweeper_can() -> None:
    rate = SWEEPER_S / order.sweep_s()
    result = run(1, purged=int(rate * 600), minutes=20)

    assert result.purged_until == pytest.approx(600, rel=0.02)
    assert result.met == {}
    assert result.counts.ended == int(rate * 600) + 20 * 60


def test_all_failures_of_one_task_share_a_quarter_of_the_shards() -> None:
    result = run(1200, failing=100, attempts=1, due_shards=4, minutes=5)

    assert list(result.met) == ["failure_partitions"]
    assert run(1200, failing=100, attempts=1, due_shards=5, minutes=5).met == {}


@pytest.mark.parametrize("due_shards", [1, 4, 5, 30, 256])
def test_failures_have_as_many_partitions_as_the_app_gives_them(
    due_shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DUE_SHARDS", str(due_shards))

    partitions = len(dispatch.failure_shards("burn"))
    assert Plan(1, due_shards=due_shards).failure_partitions == partitions


def test_more_failures_of_one_task_than_eight_partitions_take_are_not_lifted() -> None:
    limit = LIMITS["failure_partitions"]

    assert limit.lifted(Plan(5000, failing=100, attempts=1)) is not None
    assert limit.lifted(Plan(50_000, failing=100, attempts=1, due_shards=64)) is None


def test_the_sweeper_takes_its_cpu_time_or_that_of_its_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # It has 512 / 1,769 of a vCPU
    assert order.sweep_s() == pytest.approx(order.SWEEP_CPU_S * 1769 / 512)
    monkeypatch.setattr(order, "SWEEP_CPU_S", 0.0001)
    # 100 orders: one read, then each thread writes ten and sends one batch, if need be again
    rounds = -(-10 // checks.THREADS)
    assert order.sweep_s() == pytest.approx((1 + rounds * 11) * 0.005 / 100)


def test_every_order_that_is_offered_ends() -> None:
    plan = Plan(orders_per_s=100, minutes=2, failing=10, attempts=3, concurrency=40)
    counts = Simulation(plan).run().counts

    assert (counts.accepted, counts.succeeded, counts.failed) == (12_000, 10_800, 1200)


@pytest.mark.parametrize("orders_per_s", [100, 1000, 10_000])
def test_the_ladder_ends_where_the_rate_holds(orders_per_s: int) -> None:
    rungs = list(climb(Plan(orders_per_s)))

    assert rungs[-1].limit is None
    assert all(rung.remedy for rung in rungs[:-1])
    names = [rung.limit.name for rung in rungs if rung.limit]
    assert len(names) == len(set(names)), "each limit is lifted once"


def test_without_lift_there_is_one_rung() -> None:
    (rung,) = climb(Plan(10_000, lift="no"))
    assert rung.limit is LIMITS["stage"]


def test_a_limit_that_nothing_lifts_ends_the_ladder() -> None:
    rungs = list(climb(Plan(1000, failing=100, backoff_s=130)))

    assert rungs[-1].limit is LIMITS["sweeper"]
    assert rungs[-1].remedy is None


def test_a_remedy_for_a_rate_that_just_fits_adds_a_quarter() -> None:
    plan = Plan(1600, due_shards=4)  # 1,600 x 2 units, and a quarter more, are 4 partitions
    remedy = LIMITS["due_partitions"].lifted(plan)

    assert remedy is not None
    assert remedy.plan.due_shards == 5


def test_every_limit_of_a_run_is_described() -> None:
    plan = Plan(orders_per_s=1)
    needs = {*admit_needs(plan), *start_needs(plan)} - {"workers"}

    assert needs | {"concurrency", "ramp", "worker_environments", "sweeper"} == set(LIMITS)


def test_two_runs_print_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for _ in range(2):
        assert command.main(["ORDERS_PER_S=2000", "FAILING=3"]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "first limit: RequestsPerSecond: 100 requests/s" in texts[0]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "ORDERS_PER_S is missing"),
        (["ORDERS_PER_S=0"], "ORDERS_PER_S=0: must be a whole number from 1"),
        (["ORDERS_PER_S=1e4"], "ORDERS_PER_S=1e4: must be a whole number"),
        (["ORDERS_PER_S=9999999999999999"], "must be a whole number from 1 to 1000000"),
        (["ORDERS_PER_S=5", "FRONT=ftp"], "FRONT=ftp: must be one of rest, http, url"),
        (["ORDERS_PER_S=5", "BATCH=11"], "BATCH=11: must be a whole number from 1 to 10"),
        (["ORDERS_PER_S=5", "BATH=2"], "BATH=2: must be NAME=VALUE with one of ORDERS_PER_S"),
        (["ORDERS_PER_S"], "ORDERS_PER_S: must be NAME=VALUE"),
        (["ORDERS_PER_S=5", "WARM=50000"], "WARM=50000: must be at most TABLE_QUOTA=40000"),
    ],
)
def test_a_bad_argument_is_named(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PlanMistake, match=problem.replace("(", r"\(")):
        parse(arguments)
    assert command.main(arguments) == 2
    assert problem in capsys.readouterr().out


def test_variables_of_make_are_no_arguments() -> None:
    assert parse(["PYTHON=python3.12", "ORDERS_PER_S=5"]) == Plan(5)


def test_the_defaults_are_those_of_the_template_and_of_tasks() -> None:
    parameters = template.load()["Parameters"]
    of_parameters = {
        "requests_per_s": "RequestsPerSecond",
        "list_shards": "ListShards",
        "due_shards": "DueShards",
        "front": "Front",
        "batch": "WorkerBatchSize",
        "concurrency": "WorkerConcurrency",
    }
    plan = Plan(orders_per_s=1)
    for field, name in of_parameters.items():
        assert getattr(plan, field) == parameters[name]["Default"], name
    assert plan.burst == parameters["RequestBurst"]["Default"]
    declared = inspect.signature(registry._declare).parameters
    assert plan.attempts == declared["max_attempts"].default
    assert plan.backoff_s == declared["backoff_s"].default
