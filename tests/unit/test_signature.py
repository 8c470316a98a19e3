"""Type hints as a task's contract: its schema, its checks, error pointers and decoded arguments."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from msgspec import Meta

from chalicelib.errors import InvalidInput, TaskMistake
from chalicelib.execution.context import Context
from chalicelib.execution.signature import Signature, _inspected, _parameters, as_json
from tests.kit.actions import NoActions

CONTEXT = Context("id", 1, "key", 1.0, NoActions())


@dataclass(frozen=True)
class Item:
    name: str
    sizes: list[int]


def stock(
    items: list[Item], day: date, by_code: dict[str, int] | None = None, *, note: str = ""
) -> None: ...


def typed(
    context: Context,
    number: int = 0,
    ratio: float = 0.5,
    text: str = "",
    flag: bool = False,
    when: datetime | None = None,
    raw: bytes = b"",
    id: UUID | None = None,
    price: Decimal = Decimal(1),
    by_number: dict[int, str] = {},  # noqa: B006
    words: set[str] = set(),  # noqa: B006
    pair: tuple[int, str] = (1, "a"),
    anything: Any = None,
    sauce: Literal["curry", "none"] = "none",
    pieces: Annotated[int, Meta(ge=1)] = 1,
) -> None: ...


def bare() -> None: ...


def test_the_schema_is_an_object_without_additional_properties() -> None:
    schema = Signature.of(stock).schema()

    assert schema["type"] == "object"
    assert schema["required"] == ["items", "day"]
    assert schema["additionalProperties"] is False
    assert schema["properties"]["items"] == {"type": "array", "items": {"$ref": "#/$defs/Item"}}
    assert schema["properties"]["day"] == {"type": "string", "format": "date"}
    assert schema["properties"]["note"] == {"type": "string", "default": ""}
    assert set(schema["$defs"]) == {"Item"}
    assert schema["$defs"]["Item"]["required"] == ["name", "sizes"]


def test_a_task_without_parameters_takes_an_empty_object() -> None:
    schema = Signature.of(bare).schema()

    assert (schema["properties"], schema["required"], schema["additionalProperties"]) == (
        {},
        [],
        False,
    )
    with pytest.raises(InvalidInput):
        Signature.of(bare).check({"x": 1})


def test_the_context_is_passed_in_and_is_not_part_of_the_input() -> None:
    signature = Signature.of(typed)

    assert "context" not in signature.schema()["properties"]
    assert signature.arguments("{}", CONTEXT)["context"] is CONTEXT
    with pytest.raises(InvalidInput):
        signature.check({"context": {}})


def test_every_default_is_filled_in() -> None:
    assert Signature.of(stock).arguments('{"items": [], "day": "2026-02-28"}', CONTEXT) == {
        "items": [],
        "day": date(2026, 2, 28),
        "by_code": None,
        "note": "",
    }


@pytest.mark.parametrize(
    ("value", "pointer"),
    [
        ({}, "/input/items"),
        ({"items": [], "day": "2026-02-30"}, "/input/day"),
        ({"items": {}, "day": "2026-02-28"}, "/input/items"),
        ({"items": [1], "day": "2026-02-28"}, "/input/items/0"),
        ({"items": [{"name": "a"}], "day": "2026-02-28"}, "/input/items/0/sizes"),
        (
            {"items": [{"name": "a", "sizes": []}] * 11 + [{"name": 1}], "day": "2026-02-28"},
            "/input/items/11/name",
        ),
        (
            {"items": [{"name": "a", "sizes": [1, 2, "3"]}], "day": "2026-02-28"},
            "/input/items/0/sizes/2",
        ),
        ({"items": [], "day": "2026-02-28", "by_code": {"a.b": "x"}}, "/input/by_code"),
        ({"items": [], "day": "2026-02-28", "nope": 1}, "/input/nope"),
        ({"items": [], "day": "2026-02-28", "~/": 1}, "/input/~0~1"),
        ([], "/input"),
        ("", "/input"),
    ],
)
def test_the_pointer_names_the_invalid_member(value: Any, pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        Signature.of(stock).check(value)

    assert caught.value.pointer == pointer
    assert "`$" not in str(caught.value)


@pytest.mark.parametrize(
    ("member", "value", "expected"),
    [
        ("number", 2**70, 2**70),
        ("ratio", 3, 3.0),
        ("text", "\x00 😀", "\x00 😀"),
        ("flag", True, True),
        ("when", "2026-02-28T12:00:00Z", datetime(2026, 2, 28, 12, tzinfo=timezone.utc)),
        ("raw", "QUJD", b"ABC"),
        (
            "id",
            "12345678-1234-5678-1234-567812345678",
            UUID(int=0x12345678123456781234567812345678),
        ),
        ("price", "0.10", Decimal("0.10")),
        ("by_number", {"1": "a"}, {1: "a"}),
        ("words", ["a", "a"], {"a"}),
        ("pair", [2, "b"], (2, "b")),
        ("anything", {"a": [1, None]}, {"a": [1, None]}),
        ("sauce", "curry", "curry"),
        ("pieces", 1, 1),
    ],
)
def test_a_value_that_fits_when_placed_fits_at_the_worker_too(
    member: str, value: Any, expected: Any
) -> None:
    signature = Signature.of(typed)

    signature.check({member: value})

    argument = signature.arguments(json.dumps({member: value}), CONTEXT)[member]
    assert (argument, type(argument)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("number", 1.0),
        ("number", True),
        ("number", "1"),
        ("ratio", "0.5"),
        ("ratio", 10**400),
        ("text", 1),
        ("text", None),
        ("flag", 1),
        ("when", "yesterday"),
        ("when", 1_800_000_000),
        ("raw", "%"),
        ("id", "1"),
        ("by_number", {"a": "b"}),
        ("words", "ab"),
        ("pair", [1]),
        ("sauce", "CURRY"),
        ("pieces", 0),
    ],
)
def test_a_value_that_does_not_fit_is_refused_when_placed_and_at_the_worker(
    member: str, value: Any
) -> None:
    signature = Signature.of(typed)

    for checks in (
        lambda: signature.check({member: value}),
        lambda: signature.arguments(json.dumps({member: value}), CONTEXT),
    ):
        with pytest.raises(InvalidInput) as caught:
            checks()
        assert caught.value.pointer == f"/input/{member}"


def test_an_unknown_type_hint_is_a_mistake() -> None:
    def lost(n): ...  # type: ignore[no-untyped-def]

    lost.__annotations__["n"] = "NoSuchType"

    with pytest.raises(TaskMistake, match="NoSuchType"):
        Signature.of(lost)


def test_a_type_hint_without_a_json_form_is_a_mistake() -> None:
    def takes(handler: object) -> None: ...
    def mixes(value: list[int] | list[str]) -> None: ...
    def defaults(ratio: float = float("nan")) -> None: ...
    def shares(items: list[int] = [1]) -> None: ...  # noqa: B006

    for function in (takes, mixes, defaults, shares):
        with pytest.raises(TaskMistake, match=function.__qualname__):
            Signature.of(function)


def test_results_are_written_as_json() -> None:
    assert as_json({"day": date(2026, 2, 28), 1: Item("é", [1])}) == (
        '{"day": "2026-02-28", "1": {"name": "é", "sizes": [1]}}'
    )


def test_the_parameters_of_a_function_are_those_that_inspect_finds() -> None:
    def none() -> None: ...
    def names(a: int, b: int = 1, *, c: int, d: int = 2) -> None:
        local = [a, b, c, d]
        del local

    def stars(a: int, /, b: int = 1, *rest: int, c: int = 2, **more: int) -> None: ...
    def only_stars(*rest: int) -> None: ...
    def only_names(**more: int) -> None: ...
    def by_position(a: int, b: int = 1, /) -> None: ...

    for function in (none, names, only_stars, only_names, by_position, stock, typed):
        assert _parameters(function) == _inspected(function)
    assert sorted(_parameters(stars)) == sorted(_inspected(stars))  # no member comes of stars


def test_a_decorated_function_has_the_parameters_of_its_own() -> None:
    @functools.wraps(stock)
    def decorated(*positional: Any, **named: Any) -> None: ...

    assert _parameters(decorated) == _parameters(stock)
