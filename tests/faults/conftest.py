"""The world that a module's scenarios share; it says at the end how many there were."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import redirect_stdout

import pytest

from tests.faults.world import SEED, World, proven


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Drop log lines: a whole proof makes millions, and `make proof-faults` shows what is printed."""
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
        yield


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    began, failed = time.monotonic(), request.session.testsfailed
    with proven() as made:
        yield made
    violations = request.session.testsfailed - failed
    layer = request.module.__name__.rpartition("test_")[2]
    sys.stdout.write(
        f"\n{layer}: {made.scenarios} scenarios, violations {violations},"
        f" {time.monotonic() - began:.0f} s, SEED={SEED}\n"
    )
