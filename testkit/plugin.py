"""The pytest plugin of the kit: the fixtures `cloud` and `wire`, in a clean environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chalicelib import queue
from testkit.cloud import Cloud, running
from testkit.registry import restored
from testkit.wire import Wire, tapped


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
