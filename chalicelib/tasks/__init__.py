"""Your tasks: each is a plain function in a file of its own in this folder, found by its decorator.

from chalicelib.tasks import task

@task
def greet(name: str, times: int = 1) -> str:
    return " ".join(["Hello", name] * times)

The files in this folder are yours. Upstream has only this one and the folder examples.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable

from chalicelib import config, secrets
from chalicelib.execution.context import Context
from chalicelib.execution.file import File, limits
from chalicelib.execution.registry import Task, find, known, lane_of, task

__all__ = ["Context", "File", "Task", "find", "known", "lane_of", "limits", "secrets", "task"]

EXAMPLES = "examples"


def load_examples() -> None:
    """Import the tasks of the folder examples. A task of yours with the same name replaces one."""
    _load([f"{folder}/{EXAMPLES}" for folder in __path__], f"{__name__}.{EXAMPLES}")


def _load(folders: Iterable[str], package: str) -> None:
    for module in pkgutil.iter_modules(folders):
        if module.name != EXAMPLES:
            importlib.import_module(f"{package}.{module.name}")


_load(__path__, __name__)
if config.settings().examples == "on":
    load_examples()
