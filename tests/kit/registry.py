"""Tasks of a test's own: whatever a test registers with @task is gone after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from chalicelib.execution import registry


@contextmanager
def restored() -> Iterator[None]:
    """The registry is afterwards as it was before."""
    with patch.dict(registry._registry):
        yield
