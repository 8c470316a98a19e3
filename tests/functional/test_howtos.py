"""The tests on the how-to pages pass, and the settings on them fit the template."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dev.packaging import own
from dev.packaging.package import template
from tests.kit import pages


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes all that a page says about orderline.yaml the user's own."""

    def configure_as(page: str) -> None:
        path = tmp_path / own.NAME
        pages.add_to_own(
            path, *(block.text for block in pages.blocks(page) if block.file == own.NAME)
        )
        monkeypatch.setenv("ORDERLINE_YAML", str(path))
        for name, value in own.read().variables(60).items():
            monkeypatch.setenv(name, value)

    return configure_as


@pytest.mark.parametrize(
    ("page", "task"),
    [
        ("lanes.md", "render_film"),
        ("own.md", "keep_photo"),
        ("rate.md", "look_up_rate"),
        ("workflows.md", "count_book"),
        ("workflows.md", "newsletter"),
        ("workflows.md", "export"),
    ],
)
def test_the_test_on_a_page_passes(
    configure: Any,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    page: str,
    task: str,
) -> None:
    configure(page)
    module = ModuleType(f"chalicelib.tasks.{task}")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(pages.file(page, f"chalicelib/tasks/{task}.py"), vars(module))
    names: dict[str, Any] = {}
    exec(pages.file(page, f"tests/tasks/test_{task}.py"), names)

    (test,) = [function for name, function in names.items() if name.startswith("test_")]
    fixtures = inspect.signature(test).parameters
    test(**{fixture: request.getfixturevalue(fixture) for fixture in fixtures})


def test_the_settings_of_the_page_of_lanes_fit_the_template(configure: Any) -> None:
    configure("lanes.md")
    resources = template("dev")["Resources"]

    heavy = resources["HeavyOrderWorker"]["Properties"]
    express = resources["ExpressOrderWorker"]["Properties"]
    assert (heavy["MemorySize"], heavy["Timeout"]) == (3008, 600)
    assert resources["HeavyOrdersQueue"]["Properties"]["VisibilityTimeout"] == 3600
    assert express["ReservedConcurrentExecutions"] == 20
    (event,) = resources["WebhooksOrderWorker"]["Properties"]["Events"].values()
    assert event["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 20}


def test_the_settings_of_the_page_of_the_file_fit_the_template(configure: Any) -> None:
    configure("own.md")
    dev = template("dev")
    prod = template("prod")

    workers = ("OrderWorker", "ReportsOrderWorker")
    for worker in workers:
        variables = dev["Resources"][worker]["Properties"]["Environment"]["Variables"]
        assert variables["PHOTOS"] == {"Ref": "Photos"}
    assert [statements(dev, worker) for worker in workers] == [
        ["s3:PutObject"],
        ["s3:PutObject", "s3:GetObject"],
    ]
    assert "DeletionPolicy" not in dev["Resources"]["Photos"]
    assert prod["Resources"]["Photos"]["DeletionPolicy"] == "Retain"
    assert [each["Parameters"]["LogDays"]["Default"] for each in (dev, prod)] == [30, 365]
    (event,) = prod["Resources"]["ReportsOrderWorker"]["Properties"]["Events"].values()
    assert event["Properties"]["ScalingConfig"] == {"MaximumConcurrency": 20}


def statements(template: Any, worker: str) -> list[str]:
    """Return the actions that orderline.yaml lets a worker do."""
    policies = template["Resources"][f"{worker}Role"]["Properties"]["Policies"]
    (policy,) = [each for each in policies if each["PolicyName"] == "own"]
    return [each["Action"] for each in policy["PolicyDocument"]["Statement"]]
