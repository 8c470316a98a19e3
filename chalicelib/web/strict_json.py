"""Parse JSON strictly: reject ambiguous documents (RFC 8259, RFC 7493 I-JSON) with a reason."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from chalicelib.execution.json_depth import MAX_DEPTH, too_deep
from chalicelib.web.problems import Problem

_WHOLE = 2**53  # below it a double represents every whole number exactly
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse(body: bytes, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON body. Raises Problem `invalid-json`."""
    if body.startswith(b"\xef\xbb\xbf"):
        _reject("it begins with a byte order mark; send plain UTF-8")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        _reject(f"it is not valid UTF-8 (byte {error.start})")
    if not text.strip():
        _reject(
            "the body is empty; send an object such as"
            ' {"task": "cook_nuggets", "input": {"pieces": 6}}'
        )
    if too_deep(text, max_depth):
        _reject(f"it is nested deeper than {max_depth} levels")
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        _reject(f"{error.msg} (line {error.lineno}, column {error.colno})")
    except ValueError:
        _reject("a whole number has too many digits")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            _reject(f"duplicate member {name[:40]!r} in one object")
        _check_text(name)
        _check_text(value)
        members[name] = value
    return members


def _check_text(value: Any) -> None:
    """Reject lone surrogates, also in arrays, for which the parser has no hook."""
    if isinstance(value, str) and _LONE_SURROGATE.search(value):
        _reject("a string contains a lone surrogate (\\ud800 to \\udfff)")
    if isinstance(value, list):
        for member in value:
            _check_text(member)


def _constant(name: str) -> NoReturn:
    _reject(f"{name} is not a JSON number")


def _number(text: str) -> float:
    """Return a number with a fraction or exponent, as an int if it is whole.

    To JSON Schema 4.0 is an integer, so it must be one to a task:
    https://json-schema.org/draft/2020-12/json-schema-validation#section-6.1.1
    """
    number = float(text)
    if number in (float("inf"), float("-inf")):
        _reject(f"the number {text[:40]} is too large for a double")
    return int(number) if number.is_integer() and 0 < abs(number) < _WHOLE else number


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_constant, parse_float=_number
)


def _reject(reason: str) -> NoReturn:
    raise Problem("invalid-json", f"The body can't be parsed as JSON: {reason}.")
