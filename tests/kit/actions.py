"""Actions of a context for a task that runs without an order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chalicelib.execution.context import Done
from chalicelib.orders import Progress


class NoActions:
    """Actions that do nothing."""

    def report(self, progress: Progress) -> bool:
        return False

    def is_stopping(self) -> bool:
        return False

    def place(self, task: str, input: Any, name: str, after: Sequence[str], when: str) -> str:
        return ""

    def after(self) -> list[Done]:
        return []
