"""The modules that a cold start loads: counts and names, which are the same on every machine.

The milliseconds are in docs/performance.md.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from chalicelib.web import views
from chalicelib.web.operations import LATE, api
from dev.packaging.package import ROOT
from tests.acceptance.stack import environment

# The packages that a cold start may load besides the app's own modules. Each further one makes
# every cold start slower: see docs/performance.md
ALLOWED = {
    "chalice",
    "msgspec",
    "cronsim",  # in the zip
}
# Of the standard library, slow to import
TOO_SLOW = {"inspect", "dataclasses", "pathlib", "email", "http.client", "tempfile", "mimetypes"}
PROGRAM = """
import json, sys
sys.modules["typing_extensions"] = None  # Lambda's image and the zip lack it; it imports inspect
before = set(sys.modules)
import app
from chalicelib.aws import client
[client.client(service) for service in sys.argv[1:]]
print(json.dumps(sorted(set(sys.modules) - before)))
"""


LATE_REQUESTS = """
import json
import app
headers = {"host": "example.com"}
rest = {"httpMethod": "GET", "resourcePath": "/operator", "path": "/api/operator", "requestId": "1"}
v2 = {"http": {"method": "POST"}, "requestId": "2"}
events = [
    {"requestContext": rest, "headers": headers},
    {"requestContext": {**rest, "httpMethod": "OPTIONS"}, "headers": headers},
    {"version": "2.0", "requestContext": v2, "rawPath": "/orders/bulk", "headers": headers},
    {"version": "2.0", "requestContext": v2, "rawPath": "/operator", "headers": headers},
]
answers = [app.app(event, None) for event in events]
print(json.dumps([[answer["statusCode"], answer["headers"].get("Allow")] for answer in answers]))
"""


def loaded_modules(*services: str, **more: str) -> list[str]:
    """Return the modules that `import app` and these services' clients load in a new process."""
    return list(json.loads(output_of(PROGRAM, *services, **more)))


def output_of(program: str, *arguments: str, **more: str) -> str:
    """Return what a program prints that runs in a new process, as in Lambda."""
    variables: dict[str, Any] = {
        "AWS_LAMBDA_FUNCTION_NAME": "orderline",
        "ACCESS": "token",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "PYTHONPATH": str(ROOT),
        **more,
    }
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=environment(**variables),
        check=True,
        capture_output=True,
        text=True,
    ).stdout


@pytest.mark.parametrize(
    "services", [("dynamodb", "sqs"), ("dynamodb",)], ids=["POST and sweeper", "worker and GET"]
)
def test_a_cold_start_loads_only_the_allowed_packages(services: tuple[str, ...]) -> None:
    modules = loaded_modules(*services)
    packages = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)

    assert packages - {"app", "chalicelib"} <= ALLOWED
    assert not TOO_SLOW.intersection(modules)


def test_heavy_packages_are_not_loaded() -> None:
    packages = {name.partition(".")[0] for name in loaded_modules()}

    assert not packages & {"PIL", "boto3", "botocore", "yaml", "dev"}


def test_what_only_describes_the_api_is_not_loaded() -> None:
    described = {f"chalicelib.web.{name}" for name in ("openapi", "schemas", "docs")}

    assert not described & set(loaded_modules())


def test_what_few_requests_need_is_not_loaded() -> None:
    own = set(loaded_modules(_HANDLER="app.app"))

    assert not own & {f"chalicelib.web.{name}" for name in LATE.values()}
    assert not own & {"chalicelib.bulk", "chalicelib.operators", "chalicelib.overview"}
    assert not own & {"http.client", "email", "html", "cronsim"}


def test_each_operation_that_is_imported_late_is_where_it_is_looked_for() -> None:
    api.load()

    modules = {route: operation.view.__module__ for route, operation in api.items()}
    late = {name: module for name, module in modules.items() if module != views.__name__}
    assert late == {route: f"chalicelib.web.{name}" for route, name in LATE.items()}


def test_a_late_operation_answers_the_first_request_for_it() -> None:
    *_, answers = output_of(LATE_REQUESTS, _HANDLER="app.app").splitlines()

    assert json.loads(answers) == [
        [200, None],
        [204, "GET, OPTIONS"],
        [401, None],
        [405, "GET, OPTIONS"],
    ]


def test_in_lambda_a_signature_is_made_by_the_first_order() -> None:
    program = """
import app
from chalicelib import tasks
task = tasks.find("cook_nuggets")
print("signature" in vars(task))
task.signature
print("signature" in vars(task))
"""
    assert output_of(program).split() == ["False", "True"]


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
