"""docs/from-celery.md: its snippets run in order against the mocked cloud over real HTTP."""

from __future__ import annotations

import importlib.util
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from orderline import Orderline

from chalicelib import tasks
from testkit import Cloud
from tests.kit.front import serving

PAGE = (Path(__file__).parents[2] / "docs" / "from-celery.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@contextmanager
def working(cloud: Cloud) -> Iterator[None]:
    """Run a worker that processes every message of the queue until the block ends."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            cloud.drain()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join()


@pytest.fixture
def heavy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANES", '{"heavy": 600}')


def test_the_snippets_run(heavy: None, cloud: Cloud, tmp_path: Path) -> None:
    celery = [snippet for snippet in SNIPPETS if snippet.startswith("# Celery")]
    declarations = [snippet for snippet in SNIPPETS if "@task" in snippet and snippet not in celery]
    calls = [snippet for snippet in SNIPPETS if snippet not in celery + declarations]
    for number, snippet in enumerate(declarations):
        load(tmp_path / f"snippet_{number}.py", snippet)
    with serving(cloud) as front, working(cloud):
        names = {"orderline": Orderline(front.url, cloud.token)}
        for snippet in calls:
            exec(snippet, names)

    assert (len(celery), len(declarations), len(calls)) == (6, 8, 9)


def test_every_name_that_the_page_uses_exists() -> None:
    page_methods = set(re.findall(r"orderline\.(\w+)\(", PAGE))
    options = set(re.findall(r"@task\((\w+)=", PAGE))

    assert {"place", "get", "wait", "cancel", "stop", "retry"} <= page_methods
    assert all(callable(getattr(Orderline, method)) for method in page_methods)
    assert all(option in str(tasks.task.__doc__) for option in options)


def load(path: Path, source: str) -> None:
    """Import a file, as the tasks package does; a task's type hints need a real module."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
