"""Secrets: a task reads one by name, and its value appears nowhere else."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest
from click.testing import CliRunner

from chalicelib import config, secrets, tasks
from chalicelib.errors import SecretMissing, SettingMistake, TaskMistake, Unavailable
from dev.__main__ import main
from dev.packaging import own
from testkit import Cloud
from testkit.cloud import REGION
from testkit.wire import tapped

VALUE = "sk_test_4711"


def charge() -> str:
    """Use a secret, and let its last characters show that it was the right one."""
    return secrets.get("STRIPE_KEY")[-4:]


def test_a_task_reads_a_secret_which_appears_nowhere_else(
    cloud: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud.secret("STRIPE_KEY", VALUE)
    tasks.task(charge)
    order = cloud.place("charge")
    cloud.drain()
    assert cloud.get(order["id"])["result"] == "4711"
    printed = capsys.readouterr()
    for text in (
        printed.out,
        printed.err,
        json.dumps([cloud.http("GET", path).body for path in ("/orders", "/tasks", "/health")]),
        repr(config.settings()),
    ):
        assert VALUE not in text


def test_a_secret_is_read_once_in_five_minutes(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.secret("STRIPE_KEY", VALUE)
    now = [0.0]
    monkeypatch.setattr(secrets, "monotonic", lambda: now[0])
    with tapped() as wire:
        assert [secrets.get("STRIPE_KEY") for _ in range(3)] == [VALUE] * 3
        assert wire.calls == ["GetParameter"]
        _ssm().put_parameter(Name="/kit/STRIPE_KEY", Value="new", Overwrite=True)
        assert secrets.get("STRIPE_KEY") == VALUE
        now[0] = secrets.CACHE_S
        assert secrets.get("STRIPE_KEY") == "new"


def test_an_undeclared_secret_ends_the_order_at_once_and_names_the_fix(cloud: Cloud) -> None:
    cloud.secret("OTHER_KEY", VALUE)
    tasks.task(charge)
    order = cloud.place("charge")
    cloud.drain()
    shown = cloud.get(order["id"])
    assert (shown["status"], shown["attempts"]) == ("FAILED", 1)
    assert "no secret 'STRIPE_KEY' is declared (declared: OTHER_KEY)" in shown["error"]["message"]
    assert "orderline.yaml" in shown["error"]["message"]


def test_a_secret_that_is_not_stored_is_retried_and_names_the_command(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETS", '{"STRIPE_KEY": "/shop/STRIPE_KEY"}')
    tasks.task(max_attempts=2)(charge)
    order = cloud.place("charge")
    cloud.drain()
    shown = cloud.get(order["id"])
    assert shown["status"] == "PENDING"
    assert "python -m dev secret set STRIPE_KEY" in shown["error"]["message"]
    assert "/shop/STRIPE_KEY" in shown["error"]["message"]
    with pytest.raises(SecretMissing):
        secrets.get("STRIPE_KEY")


def test_a_function_of_an_older_deploy_retries_a_secret_that_it_does_not_know(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    monkeypatch.setenv("ACCESS", "token")
    with pytest.raises(SecretMissing, match="STRIPE_KEY"):
        secrets.get("STRIPE_KEY")


def test_a_failing_aws_is_not_a_missing_secret(cloud: Cloud) -> None:
    cloud.secret("STRIPE_KEY", VALUE)
    with tapped() as wire:
        wire.breaks("GetParameter")
        with pytest.raises(Unavailable):
            secrets.get("STRIPE_KEY")
    assert secrets.get("STRIPE_KEY") == VALUE


def test_a_secret_of_one_test_is_gone_in_the_next(cloud: Cloud) -> None:
    with pytest.raises(TaskMistake):
        secrets.get("STRIPE_KEY")


def test_a_setting_of_secrets_that_is_not_valid_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS", "STRIPE_KEY")
    with pytest.raises(SettingMistake, match=r"SECRETS: .*JSON such as"):
        config.settings()


@pytest.fixture
def laptop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Declare two secrets, and keep the laptop's in a folder of the test."""
    file = tmp_path / "orderline.yaml"
    file.write_text("secrets: {STRIPE_KEY: , SHARED: /company/shared}\n")
    monkeypatch.setenv("ORDERLINE_YAML", str(file))
    monkeypatch.setenv("LOCAL", str(tmp_path / "local"))
    return tmp_path / "local" / "secrets"


def run(*words: str, value: str | None = None) -> tuple[int, str]:
    with patch.dict("os.environ"):  # the command sets the file's settings there
        result = CliRunner().invoke(main, ["secret", *words], input=value)
    return result.exit_code, result.output


def test_the_laptop_s_secrets_are_lines_of_a_file_for_its_owner_alone(laptop: Path) -> None:
    assert run("set", "STRIPE_KEY", value=f"{VALUE}=\n")[0] == 0
    assert run("set", "SHARED", value="two")[0] == 0
    assert laptop.read_text() == f"STRIPE_KEY={VALUE}=\nSHARED=two\n"
    assert stat.S_IMODE(laptop.stat().st_mode) == 0o600
    assert stat.S_IMODE(laptop.parent.stat().st_mode) == 0o700  # `make run` saves them there too
    code, listed = run("list")
    assert (code, listed.count("stored, ")) == (0, 2)
    assert VALUE not in listed
    assert "/orderline-dev/STRIPE_KEY" in listed
    assert run("delete", "SHARED")[0] == 0
    assert "not stored" in run("list")[1]


@pytest.mark.parametrize(
    ("words", "value", "message"),
    [
        (("set", "OTHER"), "x", "no secret 'OTHER' is declared (declared: SHARED, STRIPE_KEY)"),
        (("set", "STRIPE_KEY"), "\n", "the value is empty"),
        (("set", "STRIPE_KEY"), "one\ntwo", "one line"),
        (("set", "STRIPE_KEY"), "one\rtwo", "one line"),
        (("delete", "STRIPE_KEY"), None, "not stored"),
    ],
)
def test_a_command_that_can_not_be_done_says_why(
    laptop: Path, words: tuple[str, ...], value: str | None, message: str
) -> None:
    code, output = run(*words, value=value)
    assert code == 1
    assert message in output
    assert not laptop.exists()


def test_a_file_that_was_made_by_hand_keeps_its_comments_and_becomes_private(laptop: Path) -> None:
    laptop.parent.mkdir()
    laptop.write_text("# test keys\nSTRIPE_KEY = a\n\nSHARED=b\n")
    laptop.chmod(0o644)
    assert run("set", "STRIPE_KEY", value="c\r\n")[0] == 0
    assert laptop.read_text() == "# test keys\n\nSHARED=b\nSTRIPE_KEY=c\n"
    assert stat.S_IMODE(laptop.stat().st_mode) == 0o600


def test_a_line_of_the_file_that_is_not_a_secret_is_named(laptop: Path) -> None:
    laptop.parent.mkdir()
    laptop.write_text("# mine\n\nSTRIPE_KEY=a\nSHARED\n")
    code, output = run("list")
    assert code == 1
    assert "line 4: must be NAME=value" in output


def test_a_stage_s_secrets_are_encrypted_parameters(cloud: Cloud, laptop: Path) -> None:
    assert run("set", "STRIPE_KEY", "--stage", "prod", value=VALUE)[0] == 0
    assert run("set", "SHARED", "--stage", "prod", value="two")[0] == 0
    stored = _ssm().get_parameter(Name="/orderline-prod/STRIPE_KEY", WithDecryption=True)
    assert stored["Parameter"]["Value"] == VALUE
    assert stored["Parameter"]["Type"] == "SecureString"
    assert _ssm().get_parameter(Name="/company/shared")["Parameter"]["Value"] != "two"
    assert run("list", "--stage", "prod")[1].count("stored, 20") == 2
    assert run("delete", "SHARED", "--stage", "prod")[0] == 0
    assert "not stored" in run("delete", "SHARED", "--stage", "prod")[1]
    assert "not stored" in run("list", "--stage", "prod")[1]
    assert not laptop.exists()


def test_a_lane_s_own_secret_is_declared_too(tmp_path: Path) -> None:
    file = tmp_path / "orderline.yaml"
    file.write_text("secrets: {A: }\nlanes: {heavy: {secrets: {B: /b}}}\n")
    assert own.read("", file).secret_parameters("shop") == {"A": "/shop/A", "B": "/b"}


def _ssm() -> Any:
    return boto3.client("ssm", region_name=REGION)


def test_the_page_s_task_and_its_test_work_as_pasted(cloud: Cloud) -> None:
    page = (Path(__file__).parents[2] / "docs" / "secrets.md").read_text()
    task_code, test_code = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    module: dict[str, Any] = {}
    exec(compile(task_code, "docs/secrets.md", "exec"), module)
    exec(compile(test_code, "docs/secrets.md", "exec"), module)
    module["test_charge"](cloud)
