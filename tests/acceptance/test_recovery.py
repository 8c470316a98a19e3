"""The running stack heals: a soak in short, killed and stopped workers, failures that vanish, tasks without end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.acceptance.stack import until
from tests.soak import experiments
from tests.soak.backstage import Backstage, soaked
from tests.soak.experiments import FINISH_S, RESEND_AFTER_S, SWEEP_S, TIMEOUT_S
from tests.soak.soak import soak

pytestmark = pytest.mark.local

SKEW_S = 2  # worker.LEASE_MARGIN_S
COLD_S = 5  # a function's start on a busy machine, and this test's own looks


@pytest.fixture(scope="module")
def backstage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backstage]:
    stack = soaked(tmp_path_factory.mktemp("recovery")).start()
    yield Backstage(stack)
    stack.stop()


def test_a_soak_breaks_no_promise() -> None:
    soaked_for = soak(40, seed=int.from_bytes(os.urandom(3), "big"))

    assert soaked_for.faults == [], str(soaked_for)
    assert soaked_for.accepted > 50
    assert all(soaked_for.kills[kind] for kind in ("worker", "http")), str(soaked_for)


def test_a_killed_http_server_is_replaced(backstage: Backstage) -> None:
    before = backstage.stack.processes("cli.serve")
    os.kill(before[0], signal.SIGKILL)

    until(lambda: backstage.stack.processes("cli.serve") not in ([], before), 20)

    assert backstage.stack.http("GET", "/health").status == 200
    assert "was restarted" in backstage.stack.output


def test_a_killed_worker_s_order_is_claimed_again(backstage: Backstage) -> None:
    (waited_s,) = experiments.claimed_again_s(backstage)

    assert waited_s <= max(RESEND_AFTER_S, TIMEOUT_S + SKEW_S) + SWEEP_S + COLD_S


def test_every_order_ends_where_failures_vanish(backstage: Backstage) -> None:
    ended = experiments.ended_where_failures_vanish(backstage, 8)

    assert ended == {
        "steady": "SUCCESS",
        "slow": "SUCCESS",
        "flaky": "SUCCESS",
        "failing": "FAILED",
    }


def test_a_backlog_is_not_multiplied_and_is_served_in_the_end(backstage: Backstage) -> None:
    found = experiments.backlog(backstage, 200, graces=3)

    assert found.sweeps >= 5
    assert found.most_messages <= 1.1 * found.orders
    assert found.unended == 0


@pytest.mark.parametrize(
    ("task", "limit_s"),
    [
        ("sleeping_1_s", 1),
        ("spinning_1_s", 1),
        ("sleeping", TIMEOUT_S - FINISH_S),
        ("spinning", TIMEOUT_S - FINISH_S),
    ],
)
def test_a_task_without_end_is_ended_with_a_reason(
    backstage: Backstage, task: str, limit_s: float
) -> None:
    assert experiments.deadline(backstage, task, limit_s).code == "time_limit"


def test_a_c_call_is_ended_once_it_returns_or_with_its_function(backstage: Backstage) -> None:
    assert experiments.deadline(backstage, "in_c", 1, 1800).code == "time_limit"
    assert experiments.deadline(backstage, "in_c", 1, 9000).code == "attempts_exhausted"
