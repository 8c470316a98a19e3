"""A local cloud for the tests that need one: its own port and folder, ended with the tests."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import boto3
import pytest

from cli import cloud


@dataclass(frozen=True)
class LocalCloud:
    """ministack, running. Its variables are in this process's environment."""

    port: int
    log: Path

    @property
    def environment(self) -> dict[str, str]:
        return cloud.client_environment(self.port)

    def client(self, service: str) -> Any:
        return boto3.client(service)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((cloud.HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def local_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    folder, port = tmp_path_factory.mktemp("cloud"), free_port()
    process = cloud.start(port, folder / "state", folder / "cloud.log")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    try:
        with patch.dict(os.environ, {**kept, **cloud.client_environment(port)}, clear=True):
            yield LocalCloud(port, folder / "cloud.log")
    finally:
        cloud.stop(process)
