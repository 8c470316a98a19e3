"""A chord on a running stack whose workers are killed: `make proof-chord` in short."""

from __future__ import annotations

import os

import pytest

from tests.soak.chord import chord

pytestmark = pytest.mark.local


def test_the_last_order_of_a_chord_runs_once_after_all_others() -> None:
    found = chord(60, seed=int.from_bytes(os.urandom(3), "big"))

    assert found.violations == [], str(found)
    assert found.kills > 0
    assert found.started_s > 0
