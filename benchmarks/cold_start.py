"""`make cold-start`: each packaged function's cold start and warm answers, under AWS's own runtime client.

On this machine, against the local cloud: it compares one version with another. What AWS shows is `make verify-aws`'s.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cli import cloud
from tests.acceptance.packaged import Packaged, message, records, sample
from tests.acceptance.stack import free_port
from tests.kit.runtime import Function

COLD, WARM = 5, 20
# A task that takes no time
LETTER = ("process_email", {"message": "From: a@example.com\r\nSubject: Hello\r\n\r\nHello"})


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        process = cloud.start(port, folder / "state", folder / "cloud.log")
        try:
            os.environ.update(cloud.client_environment(port))
            measure(Packaged(folder, cloud.client_environment(port)))
        finally:
            cloud.stop(process)


def measure(packaged: Packaged) -> None:
    """A table: function, ms until it could take work, of its first answer, of later ones; medians."""
    say(
        f"{'function':<14}{'ready':>8}{'first':>8}{'warm':>8}   ms, medians of {COLD} cold and {WARM} warm"
    )
    events: dict[str, Callable[[], Any]] = {
        "APIHandler": lambda: packaged.order_event(*LETTER),
        "OrderWorker": lambda: records(message(packaged.place(*LETTER), LETTER[0])),
        "DeadLetters": lambda: records(message("0" * 26)),
        "OrderSweeper": lambda: sample("schedule"),
    }
    for name, event in events.items():
        ready, first, warm = [], [], []
        for _ in range(COLD):
            function = packaged.function(name)
            ready.append(function.init_ms)
            first.append(answered(function, event()))
            warm += [answered(function, event()) for _ in range(WARM // COLD)]
            packaged.stop(name)
        say(
            f"{name:<14}"
            + "".join(f"{statistics.median(each):>8.0f}" for each in (ready, first, warm))
        )


def answered(function: Function, event: Any) -> float:
    answer = function.invoke(event)
    assert answer.error is None, answer.error
    return answer.ms


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
