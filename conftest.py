"""Fixtures of the test kit, for every test in this project wherever it is saved. `cloud` is described in tests/kit."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest

from chalicelib import config

# A shell in which `. .local/env` was typed must not lead tests astray: they read no settings, AWS or client variables
# but the one that `make test` sets for its second run. This comes before the imports that read settings.
for _name in list(os.environ):
    if _name != "AWS_TRANSPORT" and (
        _name.startswith(("AWS_", "ORDERLINE_")) or _name in config.VARIABLES
    ):
        del os.environ[_name]
os.environ.setdefault("SEED", str(random.randrange(10**6)))  # one for all processes of `pytest -n`

from chalicelib import queue  # noqa: E402
from tests.kit import Cloud, Wire  # noqa: E402
from tests.kit.cloud import running  # noqa: E402
from tests.kit.registry import restored  # noqa: E402
from tests.kit.wire import tapped  # noqa: E402

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
