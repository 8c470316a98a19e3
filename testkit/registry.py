"""Tasks of a test: those that it registers with @task are removed after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from chalicelib.execution import registry


@contextmanager
def restored() -> Iterator[None]:
    """Restore the registry after the block."""
    with patch.dict(registry._registry):
        yield
