"""Take the screenshots in docs/ and measure the pages, on separate local stacks.

`make screenshots` and `make measure-board`: python -m tests.acceptance screenshots | measure
"""

from __future__ import annotations

import io
import math
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev.packaging.package import ROOT
from tests.acceptance import operations
from tests.acceptance.browser import PHONE, WALL, opened, started
from tests.acceptance.stack import Stack, copy_of_the_project, environment, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DOCS = ROOT / "docs"
POLL_S = 2
ORDERS = 100
NOTHING = "from chalicelib.tasks import task\n\n\n@task\ndef nothing() -> None:\n    pass\n"
STAGED = '''
import io
import time

from chalicelib.tasks import Context, File, task


@task
def bake_pie(order: Context, apples: int) -> str:
    """Bake a pie, slowly enough to be watched."""
    for step in range(apples):
        word = ("peeling", "kneading", "in the oven")[3 * step // apples]
        order.progress(100 * step / apples, word)
        time.sleep(1)
    return f"a pie of {apples} apples"


@task
def shrink_photo(photo: File) -> File:
    """Make a small grey copy of a photo."""
    from PIL import Image

    small = Image.open(io.BytesIO(photo.read())).convert("L")
    small.thumbnail((160, 160))
    content = io.BytesIO()
    small.save(content, "PNG")
    return File.of(content.getvalue(), name="small.png")
'''
SCENE = [
    "place cook_nuggets pieces=6 sauce=curry --wait",
    "place bake_pie apples=3",
    "tasks",
    "list --limit 4",
    "place cook_nuggets pieces=500",
    "place process_email message=hello --wait",
]
STILL: dict[str, Any] = {"reduced_motion": "reduce"}  # no picture catches an animation
PICTURES_LOADED = """() => {
    const images = [...document.querySelectorAll("#files img")];
    return images.length === 2 && images.every(image => image.complete && image.naturalWidth);
}"""
LONGEST_TASK = """new PerformanceObserver(list => {
  for (const task of list.getEntries())
    window.longest = Math.max(window.longest ?? 0, task.duration);
}).observe({type: 'longtask', buffered: true});"""


def main() -> None:
    commands = {
        "screenshots": (
            (partial(_add_tasks, STAGED), screenshots),
            (operations.prepare, operator_screenshots),
        ),
        "measure": (
            (partial(_add_tasks, NOTHING), measure),
            (operations.prepare, measure_operator_page),
        ),
    }
    for prepare, command in commands[sys.argv[1]]:
        with (
            tempfile.TemporaryDirectory() as folder,
            _stack(Path(folder), prepare) as stack,
            started() as browser,
        ):
            command(stack, browser)


def screenshots(stack: Stack, browser: Browser) -> None:
    with ExitStack() as pages:
        views = {
            name: pages.enter_context(opened(browser, size, color_scheme=scheme, **STILL))
            for name, size, scheme in (
                ("light", WALL, "light"),
                ("dark", WALL, "dark"),
                ("phone", PHONE, "dark"),
            )
        }
        for page in views.values():
            _show(page, stack)
        _stage(stack)
        for name, page in views.items():
            page.wait_for_selector("#problem .ticket")
            page.wait_for_selector("#preparing .task:text-is('kneading')")
            page.screenshot(path=DOCS / f"board-{name}.png")
    photo = {"file": stack.upload(_photo(), "image/jpeg"), "name": "sunset.jpg"}
    order = stack.ended_order(stack.place("shrink_photo", {"photo": photo})["id"])
    with opened(browser, (1280, 1340), color_scheme="light", **STILL) as page:
        _show(page, stack, f"&order={order['id']}")
        page.wait_for_function(PICTURES_LOADED)
        page.screenshot(path=DOCS / "order.png")
    (DOCS / "terminal.txt").write_text("\n".join(_transcript(stack, line) for line in SCENE))


def operator_screenshots(stack: Stack, browser: Browser) -> None:
    token = operations.with_orders(stack)
    for n in range(70):
        order = {"task": "cook_nuggets", "input": {"pieces": 60}, "delay_s": 600 * (n % 5 == 0)}
        stack.http("POST", "/orders", order)
    for name, size, scheme in (
        ("light", (1280, 1180), "light"),
        ("dark", (1280, 1180), "dark"),
        ("phone", PHONE, "light"),
    ):
        with opened(browser, size, color_scheme=scheme, **STILL) as page:
            operations.show(page, stack, token)
            page.wait_for_selector("#ended svg")
            page.locator("#failures input").first.check()
            page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
            page.screenshot(path=DOCS / f"operator-{name}.png")


def measure_operator_page(stack: Stack, browser: Browser) -> None:
    token = operations.with_orders(stack)
    with opened(browser) as page:
        page.add_init_script(operations.LONG_TASKS)
        operations.show(page, stack, token)
        page.wait_for_selector("#ended svg")
        page.get_by_role("button", name="Show all").click()
        for number in range(2, 12):
            page.get_by_role("button", name="Older").click()
            page.wait_for_selector(f"#shown:has-text('Page {number},')")
        page.wait_for_timeout(30_000)
        long_tasks = page.evaluate("window.longTasks")
        elements = page.evaluate("document.querySelectorAll('*').length")
    _say(
        f"operator's page, {operations.FAILURES} failures, 50 tasks, 11 pages turned, 30 s:"
        f" {elements} elements; tasks of 50 ms or more: {long_tasks or 'none'}"
    )


def measure(stack: Stack, browser: Browser) -> None:
    with opened(browser, WALL) as page:
        _show(page, stack)
        delays_s = sorted(_until_ready_s(page, stack) for _ in range(ORDERS))
    _say(
        f"POST until shown as Ready, {ORDERS} orders that do nothing:"
        f" median {statistics.median(delays_s):.2f} s,"
        f" 95th percentile {delays_s[int(ORDERS * 0.95) - 1]:.2f} s, longest {delays_s[-1]:.2f} s"
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
        opened_s = time.monotonic() - began
        longest_ms = page.evaluate("window.longest ?? 0")
        _say(
            f"500 open orders: 100+, longest task in 30 s {longest_ms:.0f} ms (0: none of 50 ms or"
            f" more); an order's page opened after {opened_s:.2f} s"
        )


def _until_ready_s(page: Page, stack: Stack) -> float:
    time.sleep(random.uniform(0, POLL_S))  # place the order at a random moment between two polls
    began = time.monotonic()
    order = stack.place("nothing", {})
    page.wait_for_selector(f"#ready .ticket[href='#order={order['id']}']")
    return time.monotonic() - began


@contextmanager
def _stack(folder: Path, prepare: Callable[[Path], None]) -> Iterator[Stack]:
    project = copy_of_the_project(folder)
    prepare(project)
    (project / "requirements" / "own.in").write_text("pillow\n")  # for classify_image
    shutil.copyfile(ROOT / "requirements" / "image.txt", project / "requirements" / "own.txt")
    stack = Stack(project, CONCURRENCY="4").start()
    try:
        yield stack
    finally:
        stack.stop()


def _add_tasks(code: str, project: Path) -> None:
    (project / "chalicelib" / "tasks" / "shown.py").write_text(code)


def _show(page: Page, stack: Stack, parameters: str = "") -> None:
    page.goto(f"{stack.url}/board#token={stack.token}{parameters}")
    page.wait_for_selector("#state:has-text('Live')")


def _stage(stack: Stack) -> None:
    """Place orders for a screenshot: some ready, one with a problem, some running, some waiting."""
    ready = [stack.place("cook_nuggets", {"pieces": pieces}) for pieces in (4, 6, 3, 6, 5)]
    until(lambda: all(stack.get(order["id"])["done"] for order in ready))
    stack.place("process_email", {"message": "hello"})
    for apples in (9, 7):
        stack.place("bake_pie", {"apples": apples})
    for pieces in (24, 48, 60, 30, 36):
        stack.place("cook_nuggets", {"pieces": pieces})


def _transcript(stack: Stack, line: str) -> str:
    """Run a command and return it with its output, as in a terminal."""
    variables: dict[str, Any] = {
        "ORDERLINE_URL": stack.url,
        "ORDERLINE_TOKEN": stack.token,
        "COLUMNS": "100",
        "PYTHONPATH": str(ROOT / "client"),
    }
    done = subprocess.run(
        [sys.executable, "-m", "orderline", *line.split()],
        cwd=stack.project,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment(**variables),
    )
    code = f"(exit code {done.returncode})\n" if done.returncode else ""
    output = "\n".join(text.rstrip() for text in done.stdout.splitlines())
    return f"$ orderline {line}\n{output}\n{code}"


def _photo() -> bytes:
    """Return a JPEG that looks like a photo of a sunset."""
    from PIL import Image, ImageDraw, ImageFilter  # noqa: PLC0415 an optional library

    width, height = 3000, 1800
    sky = Image.linear_gradient("L").resize((width, height))
    photo = Image.merge(
        "RGB", [sky.point(lambda y, top=top: top + y * 2 // 5) for top in (150, 70, 90)]
    )
    draw = ImageDraw.Draw(photo)
    draw.ellipse((1900, 800, 2300, 1200), fill=(255, 236, 190))
    for n, colour in enumerate([(120, 70, 90), (70, 50, 80), (30, 30, 50)]):
        top = 1100 + 170 * n
        draw.polygon(
            [(0, height)]
            + [
                (x, top + 130 * math.sin(x / (330 + 90 * n) + 2 * n))
                for x in range(0, width + 9, 10)
            ]
            + [(width, height)],
            fill=colour,
        )
    content = io.BytesIO()
    photo.filter(ImageFilter.GaussianBlur(3)).save(content, "JPEG", quality=92)
    return content.getvalue()


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
