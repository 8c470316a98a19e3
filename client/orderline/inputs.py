"""Parse an order's input from the command line."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

Schema: TypeAlias = "dict[str, Any]"


def read(members: tuple[str, ...], text: str | None, input_schema: Callable[[], Schema]) -> Any:
    """Return the input from KEY=VALUE members or from the text of `--input`.

    The text is JSON, @FILE, or - for standard input. For a member that takes a file, KEY=@FILE
    gives its path. Raises UsageError if the input is malformed or a file can't be read.

    Args:
        members: texts KEY=VALUE
        text: the whole input instead; None: there are only members
        input_schema: return the JSON Schema of the task's input; called only for KEY=@FILE
    """
    if text is not None and members:
        raise click.UsageError("use either --input or KEY=VALUE, not both")
    if text is None:
        return _read_members([_split(member) for member in members], input_schema)
    raw = sys.stdin.read() if text == "-" else _content(text[1:]) if text.startswith("@") else text
    try:
        return json.loads(raw)
    except ValueError as error:
        raise click.UsageError(f"--input is not valid JSON: {error}") from None


def _read_members(
    members: list[tuple[str, str]], input_schema: Callable[[], Schema]
) -> dict[str, Any]:
    schema = input_schema() if any(value.startswith("@") for _, value in members) else {}
    properties = schema.get("properties", {})
    result: dict[str, Any] = {}
    for name, value in members:
        member_schema = properties.get(name, {})
        if not value.startswith("@"):
            result[name] = _value(value)
        elif _takes_file(member_schema, schema):
            result[name] = Path(value[1:])
        elif _takes_file(member_schema.get("items", {}), schema):
            before = result.get(name)
            result[name] = [*(before if isinstance(before, list) else ()), Path(value[1:])]
        else:
            result[name] = _content(value[1:])
    return result


def _split(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{text!r}: must be KEY=VALUE")
    return name, value


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _takes_file(member: Schema, schema: Schema) -> bool:
    """Return True if a member may be a file: an object with `file` or `base64`."""
    if "anyOf" in member:
        return any(_takes_file(each, schema) for each in member["anyOf"])
    definition = schema.get("$defs", {}).get(member.get("$ref", "").rpartition("/")[2], {})
    return {"file", "base64"} <= set(definition.get("properties", {}))


def _content(path: str) -> str:
    try:
        body = Path(path).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()
