"""Actions of a context for a task that runs without an order."""

from __future__ import annotations

from typing import Any

from chalicelib.orders import Progress


class NoActions:
    """Actions that do nothing."""

    def report(self, progress: Progress) -> bool:
        return False

    def is_stopping(self) -> bool:
        return False

    def place(self, task: str, input: Any, name: str) -> str:
        return ""
