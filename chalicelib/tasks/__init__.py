"""Your tasks: each is a plain function in a file of its own in this folder, found by its decorator.

from chalicelib.tasks import task

@task
def greet(name: str, times: int = 1) -> str:
    return " ".join(["Hello", name] * times)

The files in this folder are yours. Upstream has only this one and the folder examples.
"""

from __future__ import annotations

import importlib
import os

from chalicelib import config, secrets
from chalicelib.execution.context import Context, Done, Stopped
from chalicelib.execution.file import File, limits
from chalicelib.execution.registry import (
    Task,
    exists,
    find,
    is_built_in,
    known,
    lane_of,
    task,
)
from chalicelib.execution.together import TOGETHER

__all__ = [
    "TOGETHER",
    "Context",
    "Done",
    "File",
    "Stopped",
    "Task",
    "exists",
    "find",
    "is_built_in",
    "known",
    "lane_of",
    "limits",
    "secrets",
    "task",
]

EXAMPLES = "examples"


def load_examples() -> None:
    """Import the tasks of the folder examples. A task of yours with the same name replaces one."""
    _load(f"{__path__[0]}/{EXAMPLES}", f"{__name__}.{EXAMPLES}")


def _load(folder: str, package: str) -> None:
    """Import the modules in a folder, without pkgutil, which takes a cold start longer to load."""
    for name in sorted(os.listdir(folder)):
        stem, _, ending = name.partition(".")
        is_module = ending == "py" or os.path.exists(f"{folder}/{name}/__init__.py")
        if is_module and stem not in ("__init__", EXAMPLES):
            importlib.import_module(f"{package}.{stem}")


_load(__path__[0], __name__)
if config.settings().examples == "on":
    load_examples()
