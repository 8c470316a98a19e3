"""Fixtures for every test: `cloud` is the kit's, see tests/kit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit import Cloud
from tests.kit.cloud import running


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """Orderline against a mocked cloud, in this process."""
    with running() as fresh:
        yield fresh
