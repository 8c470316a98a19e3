"""Your tasks: each is a plain function in a file of its own in this folder, found by its decorator.

from chalicelib.tasks import task

@task
def greet(name: str, times: int = 1) -> str:
    return " ".join(["Hello", name] * times)
"""

from __future__ import annotations

import importlib
import pkgutil

from chalicelib import secrets
from chalicelib.execution.context import Context
from chalicelib.execution.file import File, limits
from chalicelib.execution.registry import Task, find, known, lane_of, task

__all__ = ["Context", "File", "Task", "find", "known", "lane_of", "limits", "secrets", "task"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
