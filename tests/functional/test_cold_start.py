"""The modules that a cold start loads: counts and names, which are the same on every machine.

The milliseconds are in docs/performance.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from dev.packaging.package import ROOT
from tests.acceptance.stack import environment

# The packages that a cold start may load besides the app's own modules. Each further one makes
# every cold start slower: see docs/performance.md
ALLOWED = {
    "chalice",
    "msgspec",
    "cronsim",  # in the zip
    "typing_extensions",  # msgspec imports it if installed; Lambda's image and the zip lack it
}
PROGRAM = """
import json, sys
before = set(sys.modules)
import app
from chalicelib.aws import client
[client.client(service) for service in sys.argv[1:]]
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded_modules(*services: str, **more: str) -> list[str]:
    """Return the modules that `import app` and these services' clients load in a new process."""
    variables: dict[str, Any] = {
        "AWS_LAMBDA_FUNCTION_NAME": "orderline",
        "ACCESS": "token",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "PYTHONPATH": str(ROOT),
        **more,
    }
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM, *services],
        cwd=ROOT,
        env=environment(**variables),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return list(json.loads(output))


@pytest.mark.parametrize(
    "services", [("dynamodb", "sqs"), ("dynamodb",)], ids=["POST and sweeper", "worker and GET"]
)
def test_a_cold_start_loads_only_the_allowed_packages(services: tuple[str, ...]) -> None:
    modules = loaded_modules(*services)
    packages = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)

    assert packages - {"app", "chalicelib"} <= ALLOWED


def test_heavy_packages_are_not_loaded() -> None:
    packages = {name.partition(".")[0] for name in loaded_modules()}

    assert not packages & {"PIL", "boto3", "botocore", "yaml", "dev"}


def test_what_only_describes_the_api_is_not_loaded() -> None:
    described = {f"chalicelib.web.{name}" for name in ("openapi", "schemas", "docs")}

    assert not described & set(loaded_modules())


@pytest.mark.parametrize(
    ("handler", "needless"),
    [
        ("app", ["functions.worker", "functions.sweeper", "functions.dead_letters"]),
        ("order_worker", ["web", "functions.sweeper", "functions.dead_letters"]),
        ("order_sweeper", ["web", "functions.worker", "functions.dead_letters"]),
        ("dead_letters", ["web", "functions.worker", "functions.sweeper"]),
    ],
)
def test_a_function_loads_no_parts_of_the_others(handler: str, needless: list[str]) -> None:
    every = set(loaded_modules())
    own = set(loaded_modules(_HANDLER=f"app.{handler}"))

    assert own < every
    assert every >= {f"chalicelib.{name}" for name in needless}
    assert not own & {f"chalicelib.{name}" for name in (*needless, "webhooks.sender")}


def test_the_transport_setting_loads_botocore() -> None:
    assert "botocore.client" in loaded_modules("dynamodb", AWS_TRANSPORT="botocore")
