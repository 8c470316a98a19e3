"""docs/parts.md is true: only the modules that it names call an AWS service."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("service", "modules"),
    [
        ("sqs", {"queue"}),
        (
            "dynamodb",
            {
                "transitions",
                "conditional_write",
                "by_time",
                "by_due",
                "batch_get",
                "last_ticks",
                "slots",
                "stops",
                "auth",
                "endpoints",
            },
        ),
    ],
)
def test_only_its_own_modules_call_a_service(service: str, modules: set[str]) -> None:
    callers = {
        path.stem
        for path in (ROOT / "chalicelib").rglob("*.py")
        if f'client("{service}")' in path.read_text()
    }
    assert callers == modules
    text = (ROOT / "docs" / "parts.md").read_text()
    assert all(re.search(rf"`[a-z/]*{module}\.py`", text) for module in modules)
