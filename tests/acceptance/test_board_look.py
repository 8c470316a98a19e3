"""The look of the board: sizes, colours, motion, and text that is no markup."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.board import expect, order_json, serve, show, ticket
from tests.acceptance.browser import LAPTOP, PHONE, WALL, opened
from tests.acceptance.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.local

HOSTILE = [
    "<script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    '"><svg onload=window.pwned=1>',
    "javascript:window.pwned=1",
    "'};window.pwned=1;//",
    "</title><script>window.pwned=1</script>",
    "{{constructor}}",
    "\u202egnp.exe",
    "&lt;b&gt;",
    "\x00\x1b[31m",
    "a" * 3000,
    "<style>*{display:none}</style>",
    "😈",
]

MEASURE = """refs => refs.map(ref => {
  const range = document.createRange();
  range.selectNodeContents(ref);
  return [ref.getBoundingClientRect().height, range.getBoundingClientRect().right,
          ref.parentElement.getBoundingClientRect().right];
})"""


@pytest.mark.parametrize("size", [WALL, (3840, 2160), LAPTOP, PHONE, (320, 568)])
def test_references_are_large_on_a_wall_and_complete_on_a_phone(
    browser: Browser,
    stack: Stack,
    size: tuple[int, int],
) -> None:
    with opened(browser, size) as page:
        serve(
            page,
            [
                order_json(n, status)
                for n, status in enumerate(["PENDING", "RUNNING", "SUCCESS", "FAILED"] * 3)
            ]
            + [
                order_json(90, "SUCCESS", id="0" * 22 + "WMWM"),
                order_json(91, "PENDING", id="1" * 20 + "AB1230"),
            ],
        )
        show(page, stack)
        boxes = page.locator(".ref").evaluate_all(MEASURE)

        assert len(boxes) == 14
        for height, text_right, ticket_right in boxes:
            assert height >= (64 if size >= WALL else 24)
            assert text_right <= ticket_right + 0.5
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WALL, PHONE])
def test_axe_finds_nothing(
    browser: Browser, stack: Stack, scheme: str, size: tuple[int, int]
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 an optional library

    failed = stack.ended_order(stack.place("process_email", {"message": "no email"})["id"])
    ready = stack.ended_order(stack.place("cook_nuggets", {"pieces": 1})["id"])
    stack.place("cook_nuggets", {"pieces": 60})
    with opened(browser, size, color_scheme=scheme, reduced_motion="reduce") as page:
        page.goto(f"{stack.url}/board")
        expect(page.get_by_label("Access token")).to_be_visible()
        found = [Axe().run(page).generate_report()]
        for order_id in (None, failed["id"], ready["id"]):
            show(page, stack, order_id)
            expect(page.locator(".ticket:visible, #order-status.status").first).to_be_visible()
            found.append(Axe().run(page).generate_report())
        assert [report for report in found if "Found 0 " not in report] == []


def test_nothing_moves_when_reduced_motion_is_preferred(browser: Browser, stack: Stack) -> None:
    with opened(browser, reduced_motion="reduce") as page:
        show(page, stack)
        order = stack.place("cook_nuggets", {"pieces": 48})
        expect(ticket(page, "preparing", order)).to_be_visible()
        expect(ticket(page, "ready", order)).to_be_visible()
        assert page.evaluate("document.getAnimations().length") == 0
        expect(page.locator("#announcer")).to_contain_text(order["id"][-4:])


@pytest.mark.parametrize("text", HOSTILE)
def test_every_field_is_shown_as_text(page: Page, stack: Stack, text: str) -> None:
    order = {
        **order_json(1, "FAILED"),
        "id": text,
        "task": text,
        "status": text,
        "error": {"code": text, "message": text, "attempt": text},
        "progress": {"percent": text, "word": text},
        "waits_for": text,
        "links": {"self": text, "parent": text, "follow_ups": [text], "after": [text]},
        "max_attempts": text,
        "input": {text: text, "image": f"/9j/{text}"},
        "result": {text: {"file": "0" * 64, "name": text, "type": text, "size": text}},
        "history": [{"started_at": text, "ended_at": text, "code": text}],
    }
    orders = [
        order,
        {**order, "id": f"{text}1", "done": False},
        {**order, "id": f"{text}2", "status": "SUCCESS"},
    ]
    serve(page, orders, {**order, "status": "SUCCESS"})
    show(page, stack)
    expect(page.locator("#problem .task")).to_have_text(text, use_inner_text=False)
    page.evaluate("text => { location.hash = new URLSearchParams({order: text}) }", text)
    expect(page.locator("#order-error")).to_contain_text(text[:20])
    expect(page.locator("#files b")).to_have_text(text[:255], use_inner_text=False)

    assert page.evaluate("window.pwned") is None
    assert (
        page.evaluate("document.querySelectorAll('script, style, svg, iframe, object').length") == 1
    )
    assert page.evaluate(
        "[...document.querySelectorAll('a')].every(a => a.protocol.startsWith('http'))"
    )


def test_progress_errors_and_results_of_tasks_are_shown_as_text(
    browser: Browser, project: Path
) -> None:
    (project / "chalicelib" / "tasks" / "hostile.py").write_text(HOSTILE_TASK)
    seen = project / "seen"
    seen.mkdir()
    own = Stack(project).start()
    with opened(browser) as page:
        show(page, own)
        for text in (HOSTILE[0], HOSTILE[1]):
            value = {"text": text, "seen": str(seen)}
            failing, working = (
                own.place("hostile", {**value, "fail": fail}) for fail in (True, False)
            )
            expect(ticket(page, "preparing", working).locator(".task")).to_have_text(text)
            expect(ticket(page, "preparing", working).locator("progress")).to_have_attribute(
                "value", "30"
            )
            for order, where in ((failing, "#order-error"), (working, "#result pre")):
                (seen / order["id"]).touch()
                own.ended_order(order["id"])
                page.evaluate("id => { location.hash = `order=${id}` }", order["id"])
                expect(page.locator(where)).to_contain_text(text)
            page.evaluate("location.hash = ''")
        assert page.evaluate("window.pwned") is None
    own.stop()


HOSTILE_TASK = """
import time
from pathlib import Path

from chalicelib.tasks import Context, task


@task(max_attempts=1)
def hostile(order: Context, text: str, seen: str, fail: bool) -> dict[str, str]:
    order.progress(30, text)
    while not Path(seen, order.id).exists():
        time.sleep(0.1)
    if fail:
        raise ValueError(text)
    return {text: text}
"""


def test_more_than_a_hundred_orders_are_counted_as_100_plus(page: Page, stack: Stack) -> None:
    serve(page, [order_json(n, "PENDING") for n in range(500)])
    show(page, stack)

    expect(page.locator("#preparing-title .count")).to_have_text("100+")
    expect(page.locator("#preparing .ticket")).to_have_count(100)
    longest_waiting = order_json(0, "PENDING")["id"]
    expect(page.locator("#preparing .ref").first).to_have_text(longest_waiting[-4:])


def test_references_that_would_be_equal_are_longer(page: Page, stack: Stack) -> None:
    ids = ["A" * 20 + "1XBCDE", "A" * 20 + "2YBCDE", "A" * 26]
    serve(page, [order_json(n, "PENDING", id=id) for n, id in enumerate(ids)])
    show(page, stack)
    expect(page.locator("#preparing .ref")).to_have_text(["XBCDE", "YBCDE", "AAAA"])
