"""The region of a command: AWS_REGION, then AWS_DEFAULT_REGION, then the one of the profile."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from click.testing import CliRunner
from moto import mock_aws

from dev.__main__ import main
from dev.deploy import bucket
from dev.deploy.deploy import whereabouts
from dev.packaging.package import ROOT


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a configuration whose region is us-west-2, and unset every variable that names one."""
    path = tmp_path / "config"
    path.write_text("[default]\nregion = us-west-2\n")
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    # boto3's session caches the configuration that it has read
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    return path


@pytest.mark.parametrize(
    ("variables", "region"),
    [
        ({"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-west-1"}, "eu-central-1"),
        ({"AWS_DEFAULT_REGION": "eu-west-1"}, "eu-west-1"),
        ({}, "us-west-2"),
    ],
)
def test_every_command_uses_the_first_region_that_is_set(
    profile: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], region: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        tokens = boto3.client("dynamodb", region_name=region)
        tokens.create_table(
            TableName="orderline-dev-tokens",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )

        result = CliRunner().invoke(main, ["token", "create", "--stage", "dev", "shop"])

        assert result.exit_code == 0, result.output
        assert tokens.scan(TableName="orderline-dev-tokens")["Count"] == 1
        assert whereabouts() == f"account 123456789012, {region}"
        assert bucket.bucket_name().endswith(f"-{region}")


def test_the_error_for_a_missing_region_names_the_variable(profile: Path) -> None:
    profile.write_text("")
    result = CliRunner().invoke(main, ["token", "list", "--stage", "dev"])
    assert (result.exit_code, "AWS_REGION=" in result.output) == (1, True), result.output


def test_only_one_module_of_the_commands_creates_clients() -> None:
    exempt = {"aws.py", "local_stack.py"}  # which sets the region of the local cloud itself
    assert not [
        path.name
        for path in (ROOT / "dev").rglob("*.py")
        if path.name not in exempt and "boto3" in path.read_text()
    ]
