"""The types that `make check` checks the pages' JavaScript with fit the API and the pages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dev.check_board import CONFIGURATION, OPERATOR_STATIC, ROOT, STATIC, CheckError, annotated
from testkit import Cloud

TYPES = "\n".join(path.read_text() for path in sorted((ROOT / CONFIGURATION).glob("*.d.ts")))
ELEMENTS = {
    "input": "HTMLInputElement",
    "button": "HTMLButtonElement",
    "progress": "HTMLProgressElement",
}


def interface(name: str) -> dict[str, str]:
    """Return an interface's members and their types; the name of an optional one ends in "?"."""
    heading = re.search(rf"^interface {name} (?:extends (\w+) )?{{\n", TYPES, re.MULTILINE)
    assert heading, name
    body = TYPES[heading.end() : TYPES.index("\n}", heading.end())]
    members = re.findall(r'^  "?([\w-]+\??)"?: (.+);$', body, re.MULTILINE)
    return {**(interface(heading[1]) if heading[1] else {}), **dict(members)}


def nested(text: str) -> set[str]:
    """Return the members of an object type, written like those of an interface."""
    return set(re.findall(r"(\w+\??): ", text))


class Schemas:
    """The schemas of openapi.json, with their members written like those of an interface."""

    def __init__(self, cloud: Cloud) -> None:
        self.schemas = json.loads(cloud.http("GET", "/openapi.json").body)["components"]["schemas"]

    def resolve(self, schema: Any) -> Any:
        """Follow a reference, the first of several alternatives and a list's items."""
        while inner := schema.get("$ref") or schema.get("anyOf") or schema.get("items"):
            if isinstance(inner, str):
                inner = self.schemas[inner.rpartition("/")[2]]
            schema = inner[0] if isinstance(inner, list) else inner
        return schema

    def members(self, *path: str) -> set[str]:
        schema: Any = {"$ref": path[0]}
        for name in path[1:]:
            schema = self.resolve(schema)["properties"][name]
        schema = self.resolve(schema)
        return {name if name in schema["required"] else f"{name}?" for name in schema["properties"]}


@pytest.fixture
def schemas(cloud: Cloud) -> Schemas:
    return Schemas(cloud)


def test_an_order_has_the_members_that_the_api_describes(schemas: Schemas) -> None:
    order = interface("Order")
    statuses = schemas.resolve(schemas.schemas["Order"]["properties"]["status"])["enum"]

    assert set(order) == schemas.members("Order")
    assert set(interface("OrderInList")) == schemas.members("Page", "items")
    assert set(interface("Attempt")) == schemas.members("Order", "history")
    for name in ("error", "progress", "links"):
        assert nested(order[name]) == schemas.members("Order", name)
    assert set(interface("FileDownload")) == schemas.members("FileDownload")
    assert f"type Status = {' | '.join(json.dumps(name) for name in statuses)};" in TYPES


def test_pages_and_problems_have_members_that_the_api_describes(schemas: Schemas) -> None:
    problem = {name.rstrip("?") for name in schemas.members("Problem")}

    assert set(interface("Page")) == schemas.members("Page")
    assert {name.rstrip("?") for name in interface("Problem")} <= problem


@pytest.mark.parametrize(
    ("name", "path", "own"),
    [
        ("Elements", STATIC / "board.html", {"ul": "TicketList"}),
        (
            "OperatorElements",
            OPERATOR_STATIC / "operator.html",
            {"dialog": "HTMLDialogElement", "select": "HTMLSelectElement"},
        ),
    ],
)
def test_the_elements_are_those_of_the_page(name: str, path: Path, own: dict[str, str]) -> None:
    tags = re.findall(r'<(\w+)[^>]* id="([^"]+)"', (ROOT / path).read_text())
    types = {**ELEMENTS, **own}

    assert interface(name) == {id: types.get(tag, "HTMLElement") for tag, id in tags}


def test_each_declaration_gets_its_type() -> None:
    types = "interface TextJs {\n  f(x: number): void;\n  g: string;\n}\n"

    code = annotated("text.js", "export async function f(x) {\n  const g = 1;\n}\n", types)

    assert code == (
        '/** @type {TextJs["f"]} */ export async function f(x) {\n'
        '  /** @type {TextJs["g"]} */ const g = 1;\n}\n'
    )


@pytest.mark.parametrize("code", ["", "let f;\nfunction f() {}"])
def test_a_type_without_one_declaration_is_an_error(code: str) -> None:
    with pytest.raises(CheckError, match=r"text\.js declares f"):
        annotated("text.js", code, "interface TextJs {\n  f(): void;\n}\n")
