"""The board in a real browser, on `make run`'s stack."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.board import expect, show, ticket
from tests.acceptance.browser import opened
from tests.acceptance.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

pytestmark = pytest.mark.local

PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="  # 1 x 1


def test_an_order_appears_under_preparing_and_moves_to_ready(page: Page, stack: Stack) -> None:
    show(page, stack)
    order = stack.place("cook_nuggets", {"pieces": 36})

    expect(ticket(page, "preparing", order)).to_contain_text(order["id"][-4:])
    expect(ticket(page, "preparing", order)).to_contain_text("cook_nuggets")
    expect(ticket(page, "ready", order)).to_contain_text(order["id"][-4:])
    expect(ticket(page, "preparing", order)).to_have_count(0)
    expect(page.locator(f"#ready .fresh [href='#order={order['id']}']")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text(order["id"][-4:])


def test_a_failed_order_is_a_problem_and_its_page_says_why_and_tries_again(
    page: Page, stack: Stack
) -> None:
    show(page, stack)
    order = stack.place("process_email", {"message": "no email"})
    ticket(page, "problem", order).click()

    expect(page.locator("#order-status")).to_have_text("FAILED")
    expect(page.locator("#order-error")).to_contain_text("NotAMessage")
    page.get_by_role("button", name="Retry this order").click()
    expect(page.locator("#order-status")).to_have_text("FAILED")
    expect(page.get_by_role("button", name="Cancel this order")).to_be_hidden()
    expect(page.locator("#attempts tbody tr")).to_contain_text(["task_error", "task_error"])
    assert stack.get(order["id"])["status"] in ("PENDING", "RUNNING", "FAILED")


def test_an_order_that_waits_can_be_cancelled_and_leaves(page: Page, stack: Stack) -> None:
    order = stack.http(
        "POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 600}
    ).json
    show(page, stack)
    expect(ticket(page, "preparing", order)).to_contain_text("in 9 min")
    ticket(page, "preparing", order).click()
    page.get_by_role("button", name="Cancel this order").click()

    expect(page.locator("#order-status")).to_have_text("CANCELLED")
    page.get_by_role("link", name="Back to the board").click()
    expect(ticket(page, "preparing", order)).to_have_count(0)
    assert stack.get(order["id"])["status"] == "CANCELLED"


def test_a_result_is_shown_as_json(page: Page, stack: Stack) -> None:
    order = stack.ended_order(stack.place("cook_nuggets", {"pieces": 1})["id"])
    show(page, stack, order["id"])

    expect(page.locator("#order-status")).to_have_text("SUCCESS")
    assert json.loads(page.locator("#result pre").inner_text()) == order["result"]
    assert "\n  " in page.locator("#result pre").inner_text()


def test_the_picture_that_was_classified_is_shown(page: Page, stack: Stack) -> None:
    order = stack.place("classify_image", {"image": PICTURE})
    show(page, stack, order["id"])

    expect(page.get_by_alt_text("The picture that came with this order")).to_be_visible()
    assert (
        page.locator("#picture img").evaluate(
            "picture => picture.decode().then(() => picture.naturalWidth)"
        )
        == 1
    )


def test_a_wrong_token_is_refused_with_words_and_the_right_one_stays_in_memory(
    page: Page, stack: Stack
) -> None:
    wrong = stack.token[:-1] + ("0" if stack.token[-1] != "0" else "1")
    page.goto(f"{stack.url}/board#token={wrong}")
    expect(page.get_by_role("alert")).to_contain_text("is not valid")
    page.get_by_label("Access token").fill(stack.token)
    page.get_by_role("button", name="Show the board").click()
    expect(page.locator("#state")).to_have_text("Live")

    kept = page.evaluate(
        "JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, document.cookie,"
        " document.documentElement.outerHTML, history.state])"
    )
    assert stack.token not in kept
    assert wrong not in kept
    page.reload()
    expect(page.get_by_label("Access token")).to_be_focused()


@pytest.mark.parametrize("token", ["", "nonsense", "ol_ü", "a b", "x" * 5000])
def test_what_is_no_token_is_asked_for_again(page: Page, stack: Stack, token: str) -> None:
    page.goto(f"{stack.url}/board")
    page.get_by_label("Access token").fill(token or " ")
    page.get_by_role("button", name="Show the board").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    expect(page.locator("#screen")).to_be_hidden()


def test_a_server_that_stops_is_noticed_and_one_that_comes_back_too(
    browser: Browser, project: Path
) -> None:
    own = Stack(project, BOARD_KEEP_S="6").start()
    with opened(browser) as page:
        show(page, own)
        order = own.ended_order(own.place("cook_nuggets", {"pieces": 1})["id"])
        expect(ticket(page, "ready", order)).to_be_visible()
        expect(ticket(page, "ready", order)).to_have_count(0, timeout=20_000)  # ended orders leave
        own.stop()
        expect(page.locator("#state")).to_contain_text(
            re.compile(r"Offline since \d\d:\d\d:\d\d\. Next try in \d+ s")
        )
        own.start()
        again = own.place("cook_nuggets", {"pieces": 1})
        page.wait_for_selector(f"#ready .ticket[href='#order={again['id']}']", timeout=40_000)
        expect(page.locator("#state")).to_have_text("Live")
    own.stop()


def test_the_board_is_used_with_the_keyboard_alone(page: Page, stack: Stack) -> None:
    order = stack.ended_order(stack.place("cook_nuggets", {"pieces": 1})["id"])
    show(page, stack)
    expect(ticket(page, "ready", order)).to_be_visible()
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.hash") == f"#order={order['id']}":
            break
    page.keyboard.press("Enter")
    expect(page.locator("#order-title")).to_be_focused()
    page.go_back()
    expect(ticket(page, "ready", order)).to_be_focused()


def test_the_board_is_polite(page: Page, stack: Stack) -> None:
    asked: list[str | None] = []

    def reply(route: Route) -> None:
        asked.append(route.request.headers.get("if-none-match"))
        route.fulfill(
            status=503 if fails else 304 if asked[-1] else 200,
            headers={"ETag": '"1"'},
            json=None if asked[-1] else {"items": []},
        )

    def settled() -> None:
        """What the page asked before is answered, and what it makes of the answer is done."""
        page.evaluate("fetch('board/icon.svg').then(answer => answer.text())")

    def ask_within(steps: int) -> None:
        """Small steps of the clock until it asks, once: the next pause begins with them."""
        before = len(asked)
        for _ in range(steps):
            page.clock.run_for(25)
            settled()
            if len(asked) > before:
                break
        assert len(asked) == before + 1

    def look_after(seconds: float) -> None:
        """It asks about that moment, and not before."""
        before = len(asked)
        page.clock.run_for(int(seconds * 1000) - 250)
        settled()
        assert len(asked) == before
        ask_within(20)

    fails = False
    page.clock.install()
    page.route(re.compile(r"/orders\?"), reply)
    show(page, stack)
    page.clock.pause_at(page.evaluate("Date.now() + 10"))
    ask_within(100)
    for _ in range(3):
        look_after(2)
    assert (asked[0], set(asked[1:])) == (None, {'"1"'})

    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})"
    )
    look_after(2)
    look_after(30)
    page.evaluate("delete document.hidden")
    fails = True
    with page.expect_response(re.compile(r"/orders\?")):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate("fetch('board/icon.svg').then(answer => answer.text())")
    for pause_s in (2, 4, 8, 16, 30, 30):
        look_after(pause_s)
    expect(page.locator("#state")).to_contain_text("Offline since")
