"""Without a cloud, `import app` needs no environment and no real AWS account is ever called.

The tests of the import run in processes of their own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest

from chalicelib import config
from chalicelib.errors import NoCloud
from chalicelib.table import transitions
from testkit import Cloud, template
from testkit.cloud import REGION, running

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
from app import app
from chalice.test import Client
client = Client(app)
body = b'{"task": "cook_nuggets", "input": {"pieces": 6}}'
paths = ["/health", "/tasks"]
answers = [client.http.get(path) for path in paths]
answers.append(client.http.post("/orders", body=body))
if "all" in sys.argv:
    answers += [client.http.get("/orders"), client.http.get("/orders/" + "0" * 26)]
rows = [[each.status_code, each.headers["Content-Type"], each.json_body] for each in answers]
print(json.dumps(rows))
"""


def run_python(
    code: str, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def refusals(environment: dict[str, str], *arguments: str) -> list[Any]:
    """Return the problems of POST /orders, or of `all` routes that need AWS."""
    process = run_python(PROGRAM, environment, *arguments)
    assert process.returncode == 0, process.stderr
    health, tasks, *others = json.loads(process.stdout.splitlines()[-1])  # after the log lines
    assert (health[0], tasks[0]) == (200, 200)
    for status, content_type, problem in others:
        assert (status, content_type, problem["type"]) == (
            503,
            "application/problem+json",
            "/problems/unavailable",
        )
    return [problem for _, _, problem in others]


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="nothing"),
        pytest.param(
            {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY": "x" * 40},
            id="a real key",
        ),
        pytest.param(
            {
                "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "x" * 40,
                "AWS_SESSION_TOKEN": "x",
                "AWS_DEFAULT_REGION": "eu-west-1",
            },
            id="a real session",
        ),
        pytest.param({"AWS_PROFILE": "work", "HOME": "{home}"}, id="a profile"),
        pytest.param({"HOME": "{home}"}, id="~/.aws/credentials"),
    ],
)
def test_a_route_that_needs_aws_is_503_and_names_make_run(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".aws").mkdir()
    keys = f"aws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = {'x' * 40}\n"
    (tmp_path / ".aws" / "credentials").write_text(f"[default]\n{keys}[work]\n{keys}")

    problems = refusals(
        {name: value.replace("{home}", str(tmp_path)) for name, value in environment.items()}, "all"
    )

    assert len(problems) == 3
    assert all("`make run`" in problem["detail"] for problem in problems)


def test_with_a_stopped_local_cloud_the_answer_is_503_and_names_make_run() -> None:
    local = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }

    (problem,) = refusals(local)

    assert "is the local cloud running? `make run`" in problem["detail"]


@pytest.mark.parametrize("access", [{}, {"ACCESS": "open"}])
def test_in_lambda_open_access_is_refused_at_import(access: dict[str, str]) -> None:
    process = run_python("import app", {"AWS_LAMBDA_FUNCTION_NAME": "f", **access})

    assert process.returncode != 0
    assert "ACCESS is open" in process.stderr


def test_a_call_after_a_mocked_test_reaches_no_cloud(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_LAMBDA_FUNCTION_NAME"):
        monkeypatch.delenv(name, raising=False)
    with running():
        assert transitions.get("kit", "0" * 26) is None

    with pytest.raises(NoCloud):
        transitions.get("kit", "0" * 26)


def test_a_change_of_the_region_takes_effect_in_the_same_process(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = cloud.place("cook_nuggets", {"pieces": 1})
    template.create(
        config.settings().stack,
        boto3.client("dynamodb", "eu-west-1"),
        boto3.client("sqs", "eu-west-1"),
    )

    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert transitions.get("kit", order["id"]) is None
    assert cloud.http("GET", "/orders").status == 401, "that region has no such token"
    monkeypatch.setenv("AWS_REGION", REGION)
    assert transitions.get("kit", order["id"]) is not None
