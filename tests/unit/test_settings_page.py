"""docs/settings.md lists every setting with its default, and no other."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from chalicelib.config import Settings
from dev.local.local_stack import Options
from testkit import template

PAGE = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
NOT_OPTIONS = {"PYTHON"}  # read by the Makefile


def default_column(heading: str) -> dict[str, str]:
    """Return the default column of the table under a heading, by variable."""
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([A-Z_]+) \| (.+?) \|", section, re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a variable has two rows"
    return dict(rows)


def defaults(of: type[Any]) -> dict[str, str]:
    """Return the defaults of a struct or a dataclass as the page writes them."""
    names = getattr(of, "__struct_fields__", None) or [each.name for each in fields(of)]
    return {name.upper(): str(getattr(of(), name)) or "empty" for name in names}


def without_exceptions(column: dict[str, str]) -> dict[str, str]:
    """Return the defaults alone: after a semicolon a row says where its default differs."""
    return {name: text.partition(";")[0] for name, text in column.items()}


def test_every_setting_has_a_row_with_its_default() -> None:
    assert without_exceptions(default_column("Settings of the app")) == defaults(Settings)


def test_every_option_of_make_run_has_a_row_with_its_default() -> None:
    column = default_column("Options of `make run`")

    assert column.keys() >= NOT_OPTIONS
    assert {name: text for name, text in column.items() if name not in NOT_OPTIONS} == defaults(
        Options
    )


@pytest.mark.parametrize("function", ["APIHandler", "OrderWorker"])
def test_a_row_says_what_the_template_sets_otherwise(function: str) -> None:
    loaded = template.load()
    variables = loaded["Resources"][function]["Properties"]["Environment"]["Variables"]
    column = default_column("Settings of the app")
    for name, value in variables.items():
        deployed = value
        if isinstance(value, dict):
            parameter = loaded["Parameters"].get(value["Ref"])
            deployed = (str(parameter["Default"]) or "empty") if parameter else ""
        if deployed != without_exceptions(column)[name]:
            assert f"{deployed} in Lambda" in column[name], name
