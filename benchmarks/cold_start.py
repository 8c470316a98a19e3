"""Measure cold and warm starts of the packaged functions: `make cold-start`.

The functions run under AWS's own runtime client, on this machine and against the local cloud, which
is good enough to compare two versions. `make verify-aws` measures on AWS.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dev.local import cloud
from tests.acceptance.packaged import Packaged, message, records, sample
from tests.acceptance.stack import free_port
from tests.kit.runtime import Function

COLD = 5
WARM = 20
# An order of a task that takes no time
ORDER = ("process_email", {"message": "From: a@example.com\r\nSubject: Hello\r\n\r\nHello"})


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        port = free_port()
        process = cloud.start(port, folder / "state", folder / "cloud.log")
        try:
            os.environ.update(cloud.client_environment(port))
            measure(Packaged(folder, cloud.client_environment(port)))
        finally:
            cloud.stop(process)


def measure(packaged: Packaged) -> None:
    """Print each function's median ms until it is ready, of its first and of later responses."""
    say(
        f"{'function':<14}{'ready':>8}{'first':>8}{'warm':>8}"
        f"   ms, medians of {COLD} cold and {WARM} warm"
    )
    events: dict[str, Callable[[], Any]] = {
        "APIHandler": lambda: packaged.order_event(*ORDER),
        "OrderWorker": lambda: records(message(packaged.place(*ORDER), ORDER[0])),
        "DeadLetters": lambda: records(message("0" * 26)),
        "OrderSweeper": lambda: sample("schedule"),
    }
    for name, event in events.items():
        ready, first, warm = [], [], []
        for _ in range(COLD):
            function = packaged.function(name)
            ready.append(function.init_ms)
            first.append(invoke(function, event()))
            warm += [invoke(function, event()) for _ in range(WARM // COLD)]
            packaged.stop(name)
        say(
            f"{name:<14}"
            + "".join(f"{statistics.median(each):>8.0f}" for each in (ready, first, warm))
        )


def invoke(function: Function, event: Any) -> float:
    """Invoke the function and return its duration in ms."""
    response = function.invoke(event)
    assert response.error is None, response.error
    return response.ms


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
