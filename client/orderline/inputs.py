"""Parse an order's input from the command line."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import click


def read(members: tuple[str, ...], text: str | None) -> Any:
    """Return the input from KEY=VALUE members or from the text of `--input`.

    The text is JSON, @FILE, or - for standard input. Raises UsageError if the input is malformed or
    a file can't be read.
    """
    if text is not None and members:
        raise click.UsageError("use either --input or KEY=VALUE, not both")
    if text is None:
        return dict(_member(member) for member in members)
    raw = sys.stdin.read() if text == "-" else _content(text[1:]) if text.startswith("@") else text
    try:
        return json.loads(raw)
    except ValueError as error:
        raise click.UsageError(f"--input is not valid JSON: {error}") from None


def _member(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"{text!r}: must be KEY=VALUE")
    if value.startswith("@"):
        return name, _content(value[1:])
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _content(path: str) -> str:
    try:
        body = Path(path).read_bytes()
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return base64.b64encode(body).decode()
