"""docs/parts.md is true: each AWS service is spoken to from the modules that it names, and from no other."""

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
            {"transitions", "conditional_write", "by_time", "by_due", "last_ticks", "auth"},
        ),
    ],
)
def test_a_service_is_known_to_its_own_modules_alone(service: str, modules: set[str]) -> None:
    found = {
        path.stem
        for path in (ROOT / "chalicelib").rglob("*.py")
        if f'client("{service}")' in path.read_text()
    }
    assert found == modules
    text = (ROOT / "docs" / "parts.md").read_text()
    assert all(re.search(rf"`[a-z/]*{module}\.py`", text) for module in modules)
