"""Fixtures for every test: `cloud` is the kit's, see tests/kit."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from chalicelib import queue
from tests.kit import Cloud, Wire
from tests.kit.cloud import running
from tests.kit.registry import restored
from tests.kit.wire import tapped

# In a shell's background Ctrl-C is ignored, and so it would be by all that a test starts and then interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Orderline against a mocked cloud, in this process."""
    with running() as fresh:
        yield fresh


@pytest.fixture
def wire(cloud: Cloud) -> Iterator[Wire]:
    """Every call to AWS from here on; faults can be put on it. The queue's address is known, as on AWS."""
    queue.url()
    with tapped() as tap:
        yield tap


@pytest.fixture(autouse=True)
def own_tasks() -> Iterator[None]:
    """A task that a test registers is gone after it."""
    with restored():
        yield
