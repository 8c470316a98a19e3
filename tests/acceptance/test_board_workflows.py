"""The board in a browser: orders that wait for others, and the button that stops a running one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.board import expect, order_json, serve, show, ticket
from tests.acceptance.browser import PHONE, WALL, opened
from tests.acceptance.stack import Stack, copy_of_the_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.local

PATIENT = '''
import time
from pathlib import Path

from chalicelib.tasks import Context, task


@task(max_attempts=1)
def bake_bread(order: Context, file: str) -> None:
    """Bake until the file exists, then listen."""
    order.progress(40, "in the oven")
    while not Path(file).exists():
        time.sleep(0.05)
    order.check()
    time.sleep(1.1)  # a request is read at most once a second
    order.check()
'''


@pytest.fixture(scope="module")
def bakery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Return a stack with a task that hears of a stop when a test lets it."""
    project = copy_of_the_project(tmp_path_factory.mktemp("bakery"))
    (project / "chalicelib" / "tasks" / "bakery.py").write_text(PATIENT)
    running = Stack(project).start()
    yield running
    running.stop()


def waiting_json(count: int, waits_for: int) -> dict[str, Any]:
    """Return an order that waits for some of `count` others, as the API might show it."""
    urls = [f"http://127.0.0.1/orders/{n:022d}{n:04d}" for n in range(count)]
    return {
        **order_json(1, "PENDING"),
        "lane": "default",
        "attempts": 0,
        "waits_for": waits_for,
        "links": {"after": urls},
    }


def running_json(stopping: bool) -> dict[str, Any]:
    progress = {"percent": 40, "word": "in the oven"}
    order = {**order_json(2, "RUNNING"), "lane": "default", "progress": progress}
    return {**order, "stopping": stopping}


def test_a_waiting_order_shows_and_links_what_it_waits_for(page: Page, stack: Stack) -> None:
    later = {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 600}
    first, second = (stack.http("POST", "/orders", later).json for _ in range(2))
    last = stack.http(
        "POST",
        "/orders",
        {
            "task": "cook_nuggets",
            "input": {"pieces": 1},
            "after": [first["id"], second["id"]],
            "when": "end",
        },
    ).json
    show(page, stack)
    word = ticket(page, "preparing", last).locator(".task")
    expect(word).to_have_text("waits for 2 orders")
    stack.http("POST", f"/orders/{first['id']}/cancel")
    expect(word).to_have_text("waits for 1 order")

    ticket(page, "preparing", last).click()
    facts = page.locator("#facts")
    expect(facts).to_contain_text("Waits for1 of 2")
    expect(facts).to_contain_text(f"Starts after{first['id'][-4:]} {second['id'][-4:]}")
    facts.get_by_role("link", name=second["id"][-4:]).click()
    expect(page.locator("#order-title")).to_have_text(second["id"][-4:])
    page.get_by_role("button", name="Cancel this order").click()
    expect(page.locator("#order-status")).to_have_text("CANCELLED")
    page.go_back()
    expect(page.locator("#order-status")).to_have_text("SUCCESS")
    expect(facts).to_contain_text("Starts after")
    expect(facts).not_to_contain_text("Waits for")


@pytest.mark.parametrize(("count", "links", "more"), [(20, 20, ""), (23, 20, r"and\s3\smore")])
def test_the_page_of_an_order_has_a_link_for_each_of_at_most_20(
    page: Page, stack: Stack, count: int, links: int, more: str
) -> None:
    order = waiting_json(count, count)
    serve(page, [order], order)
    show(page, stack, order["id"])
    row = page.locator("dt:text-is('Starts after') + dd")

    expect(row.get_by_role("link")).to_have_count(links)
    expect(row).to_have_text(re.compile(rf"0019 ?{more}$"))


def test_a_running_order_is_stopped_with_the_keyboard(
    browser: Browser, bakery: Stack, tmp_path: Path
) -> None:
    order = bakery.place("bake_bread", {"file": str(tmp_path / "listen")})
    with opened(browser) as board, opened(browser) as page:
        show(board, bakery)
        expect(ticket(board, "preparing", order)).to_contain_text("in the oven")
        show(page, bakery, order["id"])
        button = page.get_by_role("button", name="Stop this order")
        expect(button).to_be_visible()
        while not button.evaluate("button => button === document.activeElement"):
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")

        expect(page.get_by_role("status").filter(has_text="RUNNING, stopping")).to_be_visible()
        expect(page.locator(".actions button:visible")).to_have_count(0)
        expect(page.locator("#order-title")).to_be_focused()
        expect(ticket(board, "preparing", order).locator(".task")).to_have_text("stopping")
        expect(board.locator("#announcer")).to_have_text(f"Order {order['id'][-4:]} stopping. ")

        (tmp_path / "listen").touch()
        expect(page.locator("#order-status")).to_have_text("CANCELLED")
        expect(page.locator("#attempts tbody tr")).to_contain_text(["stopped"])
        expect(page.get_by_role("button", name="Retry this order")).to_be_visible()
        expect(ticket(board, "preparing", order)).to_have_count(0)


def test_a_stop_is_announced_once_and_not_when_the_board_opens(page: Page, stack: Stack) -> None:
    orders = [running_json(stopping=True)]
    serve(page, orders)
    show(page, stack)
    first = orders[0]["id"][-4:]
    expect(page.locator("#preparing .task")).to_have_text("stopping")
    expect(page.locator("#announcer")).to_be_empty()

    orders.append({**running_json(stopping=True), "id": "7" * 26})
    expect(page.locator("#announcer")).to_have_text("Order 7777 stopping. ")
    orders[0] = {**orders[0], "status": "SUCCESS", "done": True, "stopping": False}
    expect(page.locator("#announcer")).to_have_text(f"Order {first} ready. ")


def test_a_failed_stop_gives_the_focus_back_to_the_button(page: Page, stack: Stack) -> None:
    order = running_json(stopping=False)
    serve(page, [order], order)
    page.route("**/cancel", lambda route: route.abort())
    show(page, stack, order["id"])
    page.get_by_role("button", name="Stop this order").click()

    expect(page.get_by_role("alert").filter(has_text="No response")).to_be_visible()
    expect(page.get_by_role("button", name="Stop this order")).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WALL, PHONE])
def test_axe_finds_nothing_in_orders_that_wait_run_or_stop(
    browser: Browser, stack: Stack, scheme: str, size: tuple[int, int]
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 an optional library

    orders = [waiting_json(23, 22), running_json(stopping=False), running_json(stopping=True)]
    orders[2]["id"] = "7" * 26
    found = []
    for shown in (None, *orders):
        with opened(browser, size, color_scheme=scheme, reduced_motion="reduce") as page:
            serve(page, orders, shown)
            show(page, stack, shown["id"] if shown else None)
            expect(page.locator(".ticket:visible, #order-status.status").first).to_be_visible()
            found.append(Axe().run(page).generate_report())
            assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    assert [report for report in found if "Found 0 " not in report] == []
