"""The outcomes of an attempt beside a failure."""

from __future__ import annotations

from msgspec import Struct


class Success(Struct, frozen=True):
    """The outcome of an attempt whose task returned."""

    result: str | None
    """JSON text of what the task returned; None if it is in a file."""
    result_file: str | None = None
    """Id of the file with a large result."""


class Stop(Struct, frozen=True):
    """The outcome of an attempt whose task heard that it is to stop."""
