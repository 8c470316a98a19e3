"""The examples of docs/testing.md are tests that pass."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("code", BLOCKS, ids=[re.findall(r"def (\w+)", block)[0] for block in BLOCKS])
def test_an_example_passes_as_pasted(code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_CALLS", raising=False)  # what the app signs itself, moto alone doesn't see
    module: dict[str, Any] = {}
    exec(compile(code, "docs/testing.md", "exec"), module)

    for name, function in module.items():
        if name.startswith("test_"):
            function()
