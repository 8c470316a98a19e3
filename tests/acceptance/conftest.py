"""Fixtures: the local cloud alone, `make run`'s whole stack, and a browser.

The cloud and the stack are started once, on their own ports, and stopped with the tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import boto3
import pytest

from dev.local import cloud
from tests.acceptance.browser import opened, started
from tests.acceptance.stack import Stack, copy_of_the_project, environment, free_port, stop_all

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass(frozen=True)
class LocalCloud:
    """A running ministack; its variables are in this process's environment."""

    port: int
    log: Path
    pid: int
    state: Path

    @property
    def environment(self) -> dict[str, str]:
        return cloud.client_environment(self.port)

    def client(self, service: str) -> Any:
        return boto3.client(service)


@pytest.fixture(scope="session", autouse=True)
def _no_stack_outlives_the_tests() -> Iterator[None]:
    yield
    stop_all()


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder = tmp_path_factory.mktemp("cloud")
    port = free_port()
    process = cloud.start(port, folder / "state", folder / "cloud.log")
    variables = environment(**cloud.client_environment(port))
    try:
        with patch.dict(os.environ, variables, clear=True):
            yield LocalCloud(port, folder / "cloud.log", process.pid, folder / "state")
    finally:
        cloud.stop(process)


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start the stack that all tests share.

    A test that changes it uses `own`, or starts one in `project`.
    """
    running = Stack(copy_of_the_project(tmp_path_factory.mktemp("project"))).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def _own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    running = Stack(copy_of_the_project(tmp_path_factory.mktemp("own"))).start()
    yield running
    running.stop()


@pytest.fixture
def own(_own: Stack) -> Stack:
    """Return a stack of this module, which a test may change and stop; the next restarts it."""
    return _own if _own.ended is None else _own.start()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy the project, like a fresh clone."""
    return copy_of_the_project(tmp_path)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser) as page:
        yield page
