"""`make verify-aws` in the parts that the local cloud can show."""

from __future__ import annotations

import pytest

from dev.deploy.deploy import DeployAborted
from dev.verify.aws_checks import NAME
from dev.verify.checks import CHECKS, Check
from dev.verify.verify import all_checks, verify
from dev.verify.visitor import Visitor
from tests.acceptance.conftest import LocalCloud
from tests.acceptance.test_deploy import left_of, typed

pytestmark = pytest.mark.local


def test_it_deploys_checks_measures_and_leaves_nothing(local_cloud: LocalCloud) -> None:
    done = typed("verify", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    skipped = [check for check in all_checks() if check.why_skipped]
    assert done.stdout.count("  ok  ") == len(all_checks()) - len(skipped)
    for check in skipped:
        assert f"  --  {check.sentence} (skipped: {check.why_skipped})\n" in done.stdout
    assert "accepted to SUCCESS: median" in done.stdout
    assert "OrderWorker: " in done.stdout
    assert "note: 11 alarms notify nobody" in done.stdout
    assert left_of(local_cloud, NAME) == []


@pytest.mark.parametrize("front", ["http", "url"])
def test_another_front_is_deployed_and_checked(
    local_cloud: LocalCloud, capsys: pytest.CaptureFixture[str], front: str
) -> None:
    without_orders = [check for check in all_checks(front) if check in CHECKS][1:8]
    verify(True, without_orders, front)

    printed = capsys.readouterr().out
    assert "  ok  an unknown method is 405, as problem+json" in printed
    assert f"parameter Front = {front}" in printed
    assert left_of(local_cloud, NAME) == []


def test_a_failed_check_is_an_error_and_the_stack_goes_all_the_same(
    local_cloud: LocalCloud,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checks = [
        Check("health is 201", lambda visit: visit("GET", "/health").status == 201),
        Check("health is 200", lambda visit: visit("GET", "/health").status == 200),
    ]
    with pytest.raises(DeployAborted, match="failed: health is 201"):
        verify(True, checks)
    printed = capsys.readouterr().out
    assert (
        "  BAD health is 201\n      the last response was 200 application/json {'status': 'ok'}\n"
        in printed
    )
    assert "  ok  health is 200\n" in printed
    assert left_of(local_cloud, NAME) == []


def test_a_stack_that_is_interrupted_goes_too(local_cloud: LocalCloud) -> None:
    def interrupt(visit: Visitor) -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(True, [Check("Ctrl-C", interrupt)])
    assert left_of(local_cloud, NAME) == []


def test_tables_of_that_name_that_somebody_kept_are_left_alone(local_cloud: LocalCloud) -> None:
    dynamodb = local_cloud.client("dynamodb")
    dynamodb.create_table(
        TableName=f"{NAME}-orders",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
    )
    try:
        done = typed("verify", "--yes")
        assert done.returncode == 1
        assert f"these exist already: table {NAME}-orders;" in done.stderr
        assert left_of(local_cloud, NAME) == [f"{NAME}-orders"]
    finally:
        dynamodb.delete_table(TableName=f"{NAME}-orders")
