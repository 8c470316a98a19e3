"""A soak of a running stack: `make proof-soak` in short."""

from __future__ import annotations

import os

import pytest

from tests.soak.soak import soak

pytestmark = pytest.mark.local


def test_a_soak_breaks_no_promise() -> None:
    outcome = soak(40, seed=int.from_bytes(os.urandom(3), "big"))

    assert outcome.violations == [], str(outcome)
    assert outcome.accepted > 50
    assert all(outcome.kills[kind] for kind in ("worker", "http")), str(outcome)
