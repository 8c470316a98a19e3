"""The board looked at: `make screenshots` for docs/, `make measure-board` for how quick it is. On a stack of its own.

python -m tools.board screenshots | measure
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.package import ROOT
from tests.acceptance.browser import PHONE, WALL, opened, started
from tests.acceptance.stack import Stack, copy_of_the_project, environment, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DOCS = ROOT / "docs"
POLL_S = 2
ORDERS = 100
NOTHING = "from chalicelib.tasks import task\n\n\n@task\ndef nothing() -> None:\n    pass\n"
STAGED = '''
import time

from chalicelib.tasks import Context, task


@task
def bake_pie(order: Context, apples: int) -> str:
    """Bake a pie, slowly enough to be watched."""
    for step in range(apples):
        order.progress(100 * step / apples, ("peeling", "kneading", "in the oven")[3 * step // apples])
        time.sleep(1)
    return f"a pie of {apples} apples"
'''
SCENE = [
    "place cook_nuggets pieces=6 sauce=curry --wait",
    "place bake_pie apples=3",
    "tasks",
    "list --limit 4",
    "place cook_nuggets pieces=500",
    "place process_email message=hello --wait",
]
LONGEST_TASK = """new PerformanceObserver(list => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest ?? 0, task.duration);
}).observe({type: 'longtask', buffered: true});"""


def main() -> None:
    task, look = {"screenshots": (STAGED, screenshots), "measure": (NOTHING, measure)}[sys.argv[1]]
    with (
        tempfile.TemporaryDirectory() as folder,
        _stack(Path(folder), task) as stack,
        started() as browser,
    ):
        look(stack, browser)


def screenshots(stack: Stack, browser: Browser) -> None:
    for name, size, scheme in (
        ("light", WALL, "light"),
        ("dark", WALL, "dark"),
        ("phone", PHONE, "dark"),
    ):
        with opened(browser, size, color_scheme=scheme) as page:
            _show(page, stack)
            _stage(stack)
            page.wait_for_selector("#problem .ticket")
            page.wait_for_timeout(1000)  # until what moves has arrived
            page.screenshot(path=DOCS / f"board-{name}.png")
    order = stack.ended_order(stack.place("classify_image", {"image": _seven()})["id"])
    with opened(browser, (1280, 1000), color_scheme="light") as page:
        _show(page, stack, f"&order={order['id']}")
        page.wait_for_selector("#attempts td")
        page.screenshot(path=DOCS / "order.png")
    (DOCS / "terminal.txt").write_text("\n".join(_typed(stack, line) for line in SCENE))


def measure(stack: Stack, browser: Browser) -> None:
    with opened(browser, WALL) as page:
        _show(page, stack)
        seen_s = sorted(_until_ready_s(page, stack) for _ in range(ORDERS))
    _say(
        f"POST to Ready as seen, {ORDERS} orders that do nothing: median {statistics.median(seen_s):.2f} s,"
        f" 95th percentile {seen_s[int(ORDERS * 0.95) - 1]:.2f} s, longest {seen_s[-1]:.2f} s"
    )
    for _ in range(500):
        stack.http("POST", "/orders", {"task": "nothing", "input": {}, "delay_s": 3600})
    with opened(browser, WALL) as page:
        page.add_init_script(LONGEST_TASK)
        _show(page, stack)
        page.wait_for_selector("#preparing-title .count:text-is('100+')")
        page.wait_for_timeout(30_000)
        began = time.monotonic()
        page.locator("#preparing .ticket").first.click()
        page.wait_for_selector("#order-status:has-text('PENDING')")
        _say(
            f"500 open orders: 100+, longest task in 30 s {page.evaluate('window.longest ?? 0'):.0f} ms (0: none of"
            f" 50 ms or more); an order's page opened after {time.monotonic() - began:.2f} s"
        )


def _until_ready_s(page: Page, stack: Stack) -> float:
    time.sleep(random.uniform(0, POLL_S))  # an order comes at any moment between two looks
    began = time.monotonic()
    order = stack.place("nothing", {})
    page.wait_for_selector(f"#ready .ticket[href='#order={order['id']}']")
    return time.monotonic() - began


@contextmanager
def _stack(folder: Path, task: str) -> Iterator[Stack]:
    project = copy_of_the_project(folder)
    (project / "chalicelib" / "tasks" / "shown.py").write_text(task)
    stack = Stack(project, CONCURRENCY="4", LOCK="requirements/image.txt").start()
    try:
        yield stack
    finally:
        stack.stop()


def _show(page: Page, stack: Stack, more: str = "") -> None:
    page.goto(f"{stack.url}/board#token={stack.token}{more}")
    page.wait_for_selector("#state:has-text('Live')")


def _stage(stack: Stack) -> None:
    """A lunch hour: some orders ready, one with a problem, some under way, some that wait."""
    ready = [stack.place("cook_nuggets", {"pieces": pieces}) for pieces in (4, 6, 3)]
    until(lambda: all(stack.get(order["id"])["done"] for order in ready), 30)
    stack.place("process_email", {"message": "hello"})
    for apples in (9, 7):
        stack.place("bake_pie", {"apples": apples})
    for pieces in (24, 48, 60, 30):
        stack.place("cook_nuggets", {"pieces": pieces})


def _typed(stack: Stack, line: str) -> str:
    """A command and what it said, as a terminal shows both."""
    variables: dict[str, Any] = {
        "ORDERLINE_URL": stack.url,
        "ORDERLINE_TOKEN": stack.token,
        "COLUMNS": "100",
    }
    done = subprocess.run(
        [sys.executable, "-m", "cli", *line.split()],
        cwd=stack.project,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(**variables),
    )
    code = f"(exit code {done.returncode})\n" if done.returncode else ""
    said = "\n".join(text.rstrip() for text in done.stdout.splitlines())
    return f"$ python -m cli {line}\n{said}\n{code}"


def _seven() -> str:
    """A held-out digit, as a picture."""
    from tests.unit.test_classify_image import held_out, picture  # noqa: PLC0415

    return picture(next(page for page, digit in held_out() if digit == 7), "PNG", 1)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
