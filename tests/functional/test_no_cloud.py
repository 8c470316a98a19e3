"""Without a cloud: `import app` needs no environment, and nobody's real AWS account is reached by accident.

What must hold at import is asked in a process of its own.
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
from tests.kit import Cloud, template
from tests.kit.cloud import REGION, running

ROOT = Path(__file__).parents[2]
ASK = """
import json, sys
from app import app
from chalice.test import Client
client = Client(app)
body = b'{"task": "cook_nuggets", "input": {"pieces": 6}}'
answers = [client.http.get("/health"), client.http.get("/tasks"), client.http.post("/orders", body=body)]
if "all" in sys.argv:
    answers += [client.http.get("/orders"), client.http.get("/orders/" + "0" * 26)]
print(json.dumps([[answer.status_code, answer.headers["Content-Type"], answer.json_body] for answer in answers]))
"""


def python(
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
    """The problems of POST /orders, or of `all` routes that need AWS; those that need none answer."""
    done = python(ASK, environment, *arguments)
    assert done.returncode == 0, done.stderr
    health, tasks, *others = json.loads(done.stdout.splitlines()[-1])  # log lines are before it
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
def test_what_needs_aws_is_503_and_names_make_run(
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


def test_a_local_cloud_that_does_not_run_is_503_and_names_make_run() -> None:
    local = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }

    (problem,) = refusals(local)

    assert "is the local cloud running? `make run`" in problem["detail"]


@pytest.mark.parametrize("access", [{}, {"ACCESS": "open"}])
def test_in_lambda_open_access_is_refused_at_import(access: dict[str, str]) -> None:
    done = python("import app", {"AWS_LAMBDA_FUNCTION_NAME": "f", **access})

    assert done.returncode != 0
    assert "ACCESS is open" in done.stderr


def test_a_call_after_a_mocked_test_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL", "AWS_LAMBDA_FUNCTION_NAME"):
        monkeypatch.delenv(name, raising=False)
    with running():
        assert transitions.get("kit", "0" * 26) is None

    with pytest.raises(NoCloud):
        transitions.get("kit", "0" * 26)


def test_a_second_region_in_one_process_is_called_where_it_is(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = cloud.place("cook_nuggets", {"pieces": 1})
    template.create(
        config.settings().stack,
        boto3.client("dynamodb", "eu-west-1"),
        boto3.client("sqs", "eu-west-1"),
    )

    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert transitions.get("kit", placed["id"]) is None
    monkeypatch.setenv("AWS_REGION", REGION)
    assert transitions.get("kit", placed["id"]) is not None
