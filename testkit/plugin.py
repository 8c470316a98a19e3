"""The pytest plugin of the kit: the fixtures `cloud` and `wire`, in a clean environment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from chalicelib import config, queue
from testkit.cloud import Cloud, running
from testkit.registry import restored
from testkit.wire import Wire, tapped

# Tests must not depend on the shell, which may have loaded .local/env. Remove all settings, AWS and
# client variables but AWS_TRANSPORT, which `make test` sets for its second run. Settings are read
# on use, so it is early enough for all tests.
for _name in list(os.environ):
    if _name != "AWS_TRANSPORT" and (
        _name.startswith(("AWS_", "ORDERLINE_")) or _name in config.VARIABLES
    ):
        del os.environ[_name]


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
