"""Durations and times as the options of the client's commands take them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import click
import pytest
from click.testing import CliRunner
from orderline import moments

UNITS = [("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 3 * 86400)]


@click.command()
@click.option("--over", callback=moments.duration)
@click.option("--since", callback=moments.moment)
def show(over: int | None, since: str | None) -> None:
    """Print the values that a command gets."""
    click.echo(f"{over} {since}")


def run(*words: str) -> str:
    return CliRunner().invoke(show, words).output.strip()


@pytest.mark.parametrize(("text", "seconds"), UNITS)
def test_a_duration_is_a_number_of_seconds(text: str, seconds: int) -> None:
    assert run("--over", text) == f"{seconds} None"


@pytest.mark.parametrize(("text", "seconds"), UNITS)
def test_a_duration_is_also_a_time_before_now(text: str, seconds: int) -> None:
    earliest = datetime.now(timezone.utc) - timedelta(seconds=seconds)
    moment = datetime.fromisoformat(run("--since", text).split()[1])
    latest = datetime.now(timezone.utc) - timedelta(seconds=seconds)

    assert earliest <= moment <= latest


@pytest.mark.parametrize("text", ["2026-01-31T08:00:00Z", "2026-01-31T08:00:00.5+01:00"])
def test_a_time_stays_as_it_is(text: str) -> None:
    assert run("--since", text) == f"None {text}"


@pytest.mark.parametrize("text", ["", "2", "2 h", "-2h", "1.5h", "2w", "٢h", "999999999d"])
def test_anything_else_is_refused(text: str) -> None:
    assert "must be a number and s, m, h or d" in run("--over", text)
    assert "such as 90s, 2h or 3d" in " ".join(run("--since", text).split())


@pytest.mark.parametrize("text", ["2026-01-31", "2026-01-31T08:00:00", "now"])
def test_a_time_without_its_zone_is_refused(text: str) -> None:
    assert "2026-01-31T08:00:00Z" in run("--since", text)
