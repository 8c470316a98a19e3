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

PICTURE = (  # a PNG of 1 x 1 pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def test_an_order_appears_under_preparing_and_moves_to_ready(page: Page, stack: Stack) -> None:
    show(page, stack)
    order = stack.place("cook_nuggets", {"pieces": 36})

    expect(ticket(page, "preparing", order)).to_contain_text(order["id"][-4:])
    expect(ticket(page, "preparing", order)).to_contain_text("cook_nuggets")
    expect(ticket(page, "ready", order)).to_contain_text(order["id"][-4:])
    expect(ticket(page, "preparing", order)).to_have_count(0)
    expect(page.locator(f"#ready .fresh [href='#order={order['id']}']")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text(order["id"][-4:])


def test_a_failed_order_is_a_problem_and_its_page_shows_why_and_retries_it(
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


def test_a_waiting_order_can_be_cancelled_and_leaves_the_board(page: Page, stack: Stack) -> None:
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


def test_the_page_of_an_image_order_shows_the_picture(page: Page, stack: Stack) -> None:
    order = stack.place("classify_image", {"image": PICTURE})
    show(page, stack, order["id"])

    expect(page.get_by_alt_text("The picture that came with this order")).to_be_visible()
    assert (
        page.locator("#picture img").evaluate(
            "picture => picture.decode().then(() => picture.naturalWidth)"
        )
        == 1
    )


def test_a_wrong_token_is_rejected_and_a_right_one_stays_in_memory(
    page: Page, stack: Stack
) -> None:
    wrong = stack.token[:-1] + ("0" if stack.token[-1] != "0" else "1")
    page.goto(f"{stack.url}/board#token={wrong}")
    expect(page.get_by_role("alert")).to_contain_text("is not valid")
    page.get_by_label("Access token").fill(stack.token)
    page.get_by_role("button", name="Show the board").click()
    expect(page.locator("#state")).to_have_text("Live")

    stored = page.evaluate(
        "JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, document.cookie,"
        " document.documentElement.outerHTML, history.state])"
    )
    assert stack.token not in stored
    assert wrong not in stored
    page.reload()
    expect(page.get_by_label("Access token")).to_be_focused()


@pytest.mark.parametrize("token", ["", "nonsense", "ol_ü", "a b", "x" * 5000])
def test_an_invalid_token_brings_the_form_back(page: Page, stack: Stack, token: str) -> None:
    page.goto(f"{stack.url}/board")
    page.get_by_label("Access token").fill(token or " ")
    page.get_by_role("button", name="Show the board").click()
    expect(page.get_by_label("Access token")).to_be_visible()
    expect(page.locator("#screen")).to_be_hidden()


def test_the_board_shows_that_the_server_is_offline_and_that_it_is_back(
    browser: Browser, project: Path
) -> None:
    own = Stack(project, BOARD_KEEP_S="6").start()
    with opened(browser) as page:
        show(page, own)
        order = own.ended_order(own.place("cook_nuggets", {"pieces": 1})["id"])
        expect(ticket(page, "ready", order)).to_be_visible()
        expect(ticket(page, "ready", order)).to_have_count(0)  # ended orders leave
        own.stop()
        expect(page.locator("#state")).to_contain_text(
            re.compile(r"Offline since \d\d:\d\d:\d\d\. Next try in \d+ s")
        )
        own.start()
        delayed = {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 3600}
        missed = own.http("POST", "/orders", delayed).json
        expect(ticket(page, "preparing", missed)).to_be_visible()
        expect(page.locator("#state")).to_have_text("Live")
        later = own.place("cook_nuggets", {"pieces": 1})  # now: it is kept for six seconds only
        expect(ticket(page, "ready", later)).to_be_visible()
    own.stop()


def test_the_board_can_be_used_with_the_keyboard_alone(page: Page, stack: Stack) -> None:
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


def test_the_board_polls_with_its_etag_and_backs_off(page: Page, stack: Stack) -> None:
    etags: list[str | None] = []

    def reply(route: Route) -> None:
        etags.append(route.request.headers.get("if-none-match"))
        route.fulfill(
            status=503 if fails else 304 if etags[-1] else 200,
            headers={"ETag": '"1"'},
            json=None if etags[-1] else {"items": []},
        )

    def wait_until_settled() -> None:
        """Wait until the page has handled the responses to its earlier requests."""
        page.evaluate("fetch('board/icon.svg').then(answer => answer.text())")

    def poll_within(steps: int) -> None:
        """Advance the clock in small steps until the page polls, once."""
        before = len(etags)
        for _ in range(steps):
            page.clock.run_for(25)
            wait_until_settled()
            if len(etags) > before:
                break
        assert len(etags) == before + 1

    def poll_after(seconds: float) -> None:
        """Check that the page polls after `seconds`, and not before."""
        before = len(etags)
        page.clock.run_for(int(seconds * 1000) - 250)
        wait_until_settled()
        assert len(etags) == before
        poll_within(20)

    fails = False
    page.clock.install()
    page.route(re.compile(r"/orders\?"), reply)
    show(page, stack)
    page.clock.pause_at(page.evaluate("Date.now() + 10"))
    poll_within(100)
    for _ in range(3):
        poll_after(2)
    assert (etags[0], set(etags[1:])) == (None, {'"1"'})

    page.evaluate(
        "Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})"
    )
    poll_after(2)
    poll_after(30)
    page.evaluate("delete document.hidden")
    fails = True
    with page.expect_response(re.compile(r"/orders\?")):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.evaluate("fetch('board/icon.svg').then(answer => answer.text())")
    for pause_s in (2, 4, 8, 16, 30, 30):
        poll_after(pause_s)
    expect(page.locator("#state")).to_contain_text("Offline since")
