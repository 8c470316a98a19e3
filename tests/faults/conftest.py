"""The world that a module's scenarios share; it says at the end how many there were."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from tests.faults.world import SEED, World, proven


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    began, failed = time.monotonic(), request.session.testsfailed
    with proven() as made:
        yield made
    violations = request.session.testsfailed - failed
    layer = request.module.__name__.rpartition("test_")[2]
    sys.stdout.write(f"\n{layer}: {made.scenarios} scenarios, violations {violations},"
                     f" {time.monotonic() - began:.0f} s, SEED={SEED}\n")
