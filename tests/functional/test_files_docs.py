"""docs/files.md: its task and its tests, as pasted."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from testkit import Cloud

PAGE = (Path(__file__).parents[2] / "docs" / "files.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_tests_on_the_page_pass(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    (task,) = [snippet for snippet in SNIPPETS if "@task" in snippet]
    (tests,) = [snippet for snippet in SNIPPETS if "def test_" in snippet]
    module = ModuleType("chalicelib.tasks.stamp")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(task, vars(module))
    names: dict[str, Any] = {}
    exec(tests, names)

    names["test_a_letter_is_stamped"](cloud)
    names["test_the_function_alone"]()

    assert len(SNIPPETS) == 4
