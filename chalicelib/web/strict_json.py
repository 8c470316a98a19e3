"""Strict JSON in: what JSON leaves open (RFC 8259, RFC 7493 I-JSON) is refused with a sentence that says what."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from chalicelib.execution.json_depth import MAX_DEPTH, too_deep
from chalicelib.web.problems import Problem

_WHOLE = 2**53  # below it a double holds every whole number
_LONE = re.compile("[\ud800-\udfff]")


def parse(body: bytes) -> Any:
    """The value that a body holds. Raises Problem `invalid-json`."""
    if body.startswith(b"\xef\xbb\xbf"):
        _refuse("it begins with a byte order mark; send plain UTF-8")
    try:
        text = body.decode()
    except UnicodeDecodeError as fault:
        _refuse(f"it is no UTF-8 (byte {fault.start})")
    if not text.strip():
        _refuse(
            'the body is empty; send an object such as {"task": "cook_nuggets", "input": {"pieces": 6}}'
        )
    if too_deep(text):
        _refuse(f"it is nested deeper than {MAX_DEPTH} levels")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
        )
    except json.JSONDecodeError as fault:
        _refuse(f"{fault.msg} (line {fault.lineno}, column {fault.colno})")
    except ValueError:
        _refuse("a whole number has too many digits")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            _refuse(f"the member {name[:40]!r} stands twice in one object")
        _check_text(name)
        _check_text(value)
        members[name] = value
    return members


def _check_text(value: Any) -> None:
    """Lone surrogates, also those in arrays, which the parser offers no hook for."""
    if isinstance(value, str) and _LONE.search(value):
        _refuse("a string holds half of a surrogate pair (\\ud800 to \\udfff)")
    if isinstance(value, list):
        for member in value:
            _check_text(member)


def _constant(name: str) -> NoReturn:
    _refuse(f"{name} is no JSON number")


def _number(text: str) -> float:
    """A fraction, or a whole number that is written as one: to JSON Schema 4.0 is an integer, so it is one to a task.
    https://json-schema.org/draft/2020-12/json-schema-validation#section-6.1.1
    """
    number = float(text)
    if number in (float("inf"), float("-inf")):
        _refuse(f"the number {text[:40]} is too large for a double")
    return int(number) if number.is_integer() and 0 < abs(number) < _WHOLE else number


def _refuse(why: str) -> NoReturn:
    raise Problem("invalid-json", f"The body can't be read as JSON: {why}.")
