"""The examples of docs/testing.md are tests that pass."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "code", BLOCKS, ids=[re.findall(r"def (\w+)", block)[0] for block in BLOCKS]
)
def test_an_example_passes_as_pasted(
    code: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.delenv("AWS_TRANSPORT", raising=False)  # moto alone does not see sigv4 calls
    module: dict[str, Any] = {}
    exec(compile(code, "docs/testing.md", "exec"), module)

    for name, function in module.items():
        if name.startswith("test_"):
            fixtures = inspect.signature(function).parameters
            function(**{fixture: request.getfixturevalue(fixture) for fixture in fixtures})
