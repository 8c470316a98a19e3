"""Fixtures for all tests of the project, wherever they are. tests/kit describes `cloud`."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator

import pytest

from chalicelib import config

# Tests must not depend on the shell, which may have loaded .local/env. Remove all settings, AWS and
# client variables but AWS_TRANSPORT, which `make test` sets for its second run. This comes before
# the imports that read settings.
for _name in list(os.environ):
    if _name != "AWS_TRANSPORT" and (
        _name.startswith(("AWS_", "ORDERLINE_")) or _name in config.VARIABLES
    ):
        del os.environ[_name]
os.environ.setdefault(
    "SEED", str(random.randrange(10**6))
)  # shared by the processes of `pytest -n`

from chalicelib import queue  # noqa: E402
from tests.kit import Cloud, Wire  # noqa: E402
from tests.kit.cloud import running  # noqa: E402
from tests.kit.registry import restored  # noqa: E402
from tests.kit.wire import tapped  # noqa: E402

# A shell starts background jobs with SIGINT ignored, and processes that tests start and interrupt
# would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Run Orderline in this process against a mocked AWS."""
    with running() as fresh:
        yield fresh


@pytest.fixture
def wire(cloud: Cloud) -> Iterator[Wire]:
    """Record calls to AWS from here on, and inject faults. The queue's URL is cached, as on AWS."""
    queue.url()
    with tapped() as tap:
        yield tap


@pytest.fixture(autouse=True)
def own_tasks() -> Iterator[None]:
    """Remove the tasks that a test registers."""
    with restored():
        yield
