"""Durations such as 2h and times, as options of commands."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(\d{1,9})([smhd])", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_S = 100 * 366 * 86400


def duration(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Return the seconds of a number with a unit, such as 2h: the callback of an option."""
    if text is None:
        return None
    seconds = _seconds(text)
    if seconds is None:
        raise click.BadParameter(f"{text!r}: must be a number and s, m, h or d, such as 90s or 2h")
    return seconds


def moment(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Return a time as RFC 3339; a duration is how long ago it was: the callback of an option."""
    if text is None or _RFC3339.fullmatch(text):
        return text
    seconds = _seconds(text)
    if seconds is None:
        raise click.BadParameter(
            f"{text!r}: must be how long ago, such as 90s, 2h or 3d, or a time with its zone, such"
            " as 2026-01-31T08:00:00Z"
        )
    return (datetime.now(timezone.utc) - timedelta(seconds=seconds)).isoformat()


def _seconds(text: str) -> int | None:
    """Return the seconds of a duration, None if the text isn't one."""
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _UNITS_S[match[2]] if match else None
    return None if seconds is None or seconds > _LONGEST_S else seconds
