"""Fixtures of the fault tests: one world per module, which reports its scenarios at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from unittest.mock import patch

import pytest

from tests.faults.world import SEED, World, proof_world
from tests.kit.replay import replayed


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Drop log lines: a full proof writes millions, and `make proof-faults` shows the output."""
    with open(os.devnull, "w") as devnull, redirect_stdout(devnull):
        yield


@pytest.fixture
def both_transports() -> Iterator[None]:
    """Call AWS through botocore, and replay each call over Lambda's transport."""
    with patch.dict("os.environ", AWS_TRANSPORT="botocore"), replayed():
        yield


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with proof_world() as shared_world, reported(request, shared_world):
        yield shared_world


@contextmanager
def reported(request: pytest.FixtureRequest, shared_world: World) -> Iterator[None]:
    """Report the scenarios of a module's world at its end."""
    started_at = time.monotonic()
    failed_before = request.session.testsfailed
    yield
    violations = request.session.testsfailed - failed_before
    layer = request.module.__name__.rpartition("test_")[2]
    sys.stdout.write(
        f"\n{layer}: {shared_world.scenarios} scenarios, violations {violations},"
        f" {time.monotonic() - started_at:.0f} s, SEED={SEED}\n"
    )
