"""Fixtures: the app behind real sockets, and the Python client that calls it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from orderline import Orderline

from testkit import Cloud
from tests.kit import front_v2
from tests.kit.front import Front, serving
from tests.kit.replay import replayed


@pytest.fixture(autouse=True)
def front_of_choice() -> Iterator[None]:
    """With FRONT=v2, send every request as an HTTP API does."""
    with front_v2.chosen():
        yield


@pytest.fixture(autouse=True)
def both_transports() -> Iterator[None]:
    """Check each call of the app to AWS over both transports."""
    with replayed():
        yield


@pytest.fixture
def front(cloud: Cloud) -> Iterator[Front]:
    with serving(cloud) as front:
        yield front


@pytest.fixture
def orderline(cloud: Cloud, front: Front) -> Orderline:
    return Orderline(front.url, cloud.token)
