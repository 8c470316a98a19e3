"""Recovery of a running stack: dead workers, lost failures and tasks without end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from tests.acceptance.stack import until
from tests.soak import experiments
from tests.soak.experiments import FINISH_S, RESEND_AFTER_S, SWEEP_S, TIMEOUT_S
from tests.soak.stack_control import StackControl, soak_stack

pytestmark = pytest.mark.local

SKEW_S = 2  # worker.LEASE_MARGIN_S
COLD_S = 5  # a cold start on a busy machine, and the intervals at which this test looks


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackControl]:
    stack = soak_stack(tmp_path_factory.mktemp("recovery")).start()
    yield StackControl(stack)
    stack.stop()


def test_a_killed_http_server_is_replaced(control: StackControl) -> None:
    before = control.stack.processes("dev.local.serve")
    os.kill(before[0], signal.SIGKILL)

    until(lambda: control.stack.processes("dev.local.serve") not in ([], before))

    assert control.stack.http("GET", "/health").status == 200
    assert "was restarted" in control.stack.output


def test_a_killed_worker_s_order_is_claimed_again(control: StackControl) -> None:
    (waited_s,) = experiments.seconds_to_next_claim(control)

    assert waited_s <= max(RESEND_AFTER_S, TIMEOUT_S + SKEW_S) + SWEEP_S + COLD_S


def test_every_order_ends_without_batch_item_failures(control: StackControl) -> None:
    statuses = experiments.statuses_without_batch_failures(control, 8)

    assert statuses == {
        "steady": "SUCCESS",
        "slow": "SUCCESS",
        "flaky": "SUCCESS",
        "failing": "FAILED",
    }


def test_a_backlog_is_not_multiplied_and_is_worked_off(control: StackControl) -> None:
    found = experiments.backlog(control, 200, resend_periods=3)

    assert found.sweeps >= 5
    assert found.max_messages <= 1.1 * found.orders
    assert found.unfinished == 0


@pytest.mark.parametrize(
    ("task", "limit_s"),
    [
        ("sleeping_1_s", 1),
        ("spinning_1_s", 1),
        ("sleeping", TIMEOUT_S - FINISH_S),
        ("spinning", TIMEOUT_S - FINISH_S),
    ],
)
def test_a_task_without_end_ends_with_the_code_time_limit(
    control: StackControl, task: str, limit_s: float
) -> None:
    assert experiments.run_past_limit(control, task, limit_s).code == "time_limit"


def test_a_c_call_ends_when_it_returns_or_with_its_function(control: StackControl) -> None:
    assert experiments.run_past_limit(control, "in_c", 1, 1800).code == "time_limit"
    assert experiments.run_past_limit(control, "in_c", 1, 9000).code == "attempts_exhausted"
