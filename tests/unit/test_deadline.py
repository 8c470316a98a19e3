"""The time limit: it ends a block that runs too long, and nothing else."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from chalicelib.execution.time_limit import TimeLimit, deadline


def test_a_block_that_runs_too_long_is_ended() -> None:
    began = time.monotonic()

    with pytest.raises(TimeLimit), deadline(0.05):
        time.sleep(5)

    assert time.monotonic() - began < 1


def test_a_limit_in_the_past_ends_the_block_at_once() -> None:
    with pytest.raises(TimeLimit), deadline(-1):
        time.sleep(5)


def test_after_the_block_no_alarm_is_set_and_the_former_handler_is_back() -> None:
    before = signal.getsignal(signal.SIGALRM)

    with deadline(10):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 9
    with pytest.raises(ValueError, match="its own"), deadline(10):
        raise ValueError("its own")

    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_outside_the_main_thread_the_block_runs_without_a_limit() -> None:
    ran = []

    def block() -> None:
        with deadline(0.01):
            time.sleep(0.05)
            ran.append(signal.getitimer(signal.ITIMER_REAL))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()

    assert ran == [(0, 0)]
