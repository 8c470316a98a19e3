"""What one order takes of each limit."""

from __future__ import annotations

from benchmarks.simulate import order
from benchmarks.simulate.capacity import Needs
from benchmarks.simulate.plan import Plan
from chalicelib.functions.checks import RESERVE_S

SWEEP_S = 60  # from one sweep to the next, and the function's timeout

RESEND_NEEDS: Needs = {
    "sweeper": order.sweep_s(),
    "table": order.RESEND.table,
    "by_due": order.RESEND.by_due,
    "due_partitions": order.RESEND.by_due,
}
SCHEDULED_NEEDS: Needs = {**RESEND_NEEDS, "scheduled": order.sweep_s()}
# Seconds of each second in which the sweeper sends messages, and those of scheduled orders, which
# leave a quarter of the time to lost ones
SWEEPER_S = (SWEEP_S - RESERVE_S) / SWEEP_S
SCHEDULED_S = (SWEEP_S * 3 / 4 - RESERVE_S) / SWEEP_S


def start_needs(plan: Plan) -> Needs:
    """Return what one attempt takes: its claim, its end, and the time in between."""
    last = 1 / plan.attempts_per_order  # the share of attempts that are an order's last
    fails = plan.failing / 100 * last
    succeeds = last - fails
    again = 1 - last
    due = (
        succeeds * order.SUCCEED.by_due + fails * order.FAIL.by_due + again * order.PUT_BACK.by_due
    )
    failures = fails * order.FAIL.failures
    return {
        "in_flight": 1,
        "workers": plan.run_ms,
        "receives": 1 / plan.batch,
        "invocations": 1 / plan.batch,
        "table": order.CLAIM.table + order.SUCCEED.table,
        "by_due": due + failures,
        "due_partitions": due,
        "failure_partitions": failures,
    }


def admit_needs(plan: Plan) -> Needs:
    """Return what one order takes until it is accepted, its polls included."""
    gateway = (
        {}
        if plan.front == "url"
        else {"stage": plan.requests_per_order, "gateway": plan.requests_per_order}
    )
    return {
        **gateway,
        "invocations": plan.requests_per_order,
        "executions": plan.api_s_per_order,
        "api_environments": plan.api_s_per_order,
        "reads": plan.polls * order.POLL_READS,
        "table": order.INSERT.table,
        "by_time": order.INSERT.by_time,
        "time_partitions": order.INSERT.by_time,
        "by_due": order.INSERT.by_due,
        "due_partitions": order.INSERT.by_due,
    }
