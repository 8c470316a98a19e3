"""What a cold start loads: counts and names, which are the same on every machine. The milliseconds are in
docs/performance.md."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from cli.package import ROOT
from tests.acceptance.stack import environment

# What stands beside the app's own modules at a cold start. A name more is paid at each: see docs/performance.md
ALLOWED = {
    "chalice",
    "msgspec",
    "cronsim",  # in the zip
    "typing_extensions",  # msgspec takes it where it is; Lambda's image and the zip have none
}
LOOK = """
import json, sys
before = set(sys.modules)
import app
from chalicelib.aws import client
[client.client(service) for service in sys.argv[1:]]
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded(*services: str, **more: str) -> list[str]:
    """The modules that a fresh process has after `import app` as in Lambda, and after making those clients."""
    variables: dict[str, Any] = {
        "AWS_LAMBDA_FUNCTION_NAME": "orderline",
        "ACCESS": "token",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "PYTHONPATH": str(ROOT),
        **more,
    }
    told = subprocess.run(
        [sys.executable, "-c", LOOK, *services],
        cwd=ROOT,
        env=environment(**variables),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return list(json.loads(told))


@pytest.mark.parametrize(
    "services", [("dynamodb", "sqs"), ("dynamodb",)], ids=["POST and sweeper", "worker and GET"]
)
def test_a_cold_start_loads_nothing_but_what_is_allowed(services: tuple[str, ...]) -> None:
    tops = {name.partition(".")[0] for name in loaded(*services)} - set(sys.stdlib_module_names)

    assert tops - {"app", "chalicelib"} <= ALLOWED


def test_what_is_heavy_is_not_loaded() -> None:
    without = loaded()

    assert not [
        name
        for name in without
        if name.partition(".")[0] in ("PIL", "boto3", "botocore", "yaml", "cli")
    ]


def test_botocore_is_one_setting_away() -> None:
    assert "botocore.client" in loaded("dynamodb", AWS_TRANSPORT="botocore")
