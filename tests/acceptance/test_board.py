"""The board in a real browser, on `make run`'s stack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.browser import LAPTOP, PHONE, WALL, opened, started
from tests.acceptance.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

pytestmark = pytest.mark.local

PICTURE = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")  # 1 x 1
HOSTILE = [
    "<script>window.pwned=1</script>", "<img src=x onerror=window.pwned=1>", "\"><svg onload=window.pwned=1>",
    "javascript:window.pwned=1", "'};window.pwned=1;//", "</title><script>window.pwned=1</script>", "{{constructor}}",
    "\u202egnp.exe", "&lt;b&gt;", "\x00\x1b[31m", "a" * 3000, "<style>*{display:none}</style>", "😈",
]

MEASURE = """refs => refs.map(ref => {
  const range = document.createRange();
  range.selectNodeContents(ref);
  return [ref.getBoundingClientRect().height, range.getBoundingClientRect().right,
          ref.parentElement.getBoundingClientRect().right];
})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with opened(browser) as page:
        yield page


def show(page: Page, stack: Stack, order_id: str | None = None) -> None:
    page.goto(f"{stack.url}/board#token={stack.token}" + (f"&order={order_id}" if order_id else ""))
    expect(page.locator("#state")).to_have_text("Live")


def expect(locator: Locator) -> Any:
    from playwright.sync_api import expect as playwright_expect  # noqa: PLC0415 an optional library

    return playwright_expect(locator)


def ticket(page: Page, column: str, order: Any) -> Locator:
    return page.locator(f"#{column} .ticket[href='#order={order['id']}']")


def test_an_order_appears_under_preparing_and_moves_to_ready(page: Page, stack: Stack) -> None:
    show(page, stack)
    order = stack.place("cook_nuggets", {"pieces": 36})

    expect(ticket(page, "preparing", order)).to_contain_text(order["id"][-4:])
    expect(ticket(page, "preparing", order)).to_contain_text("cook_nuggets")
    expect(ticket(page, "ready", order)).to_contain_text(order["id"][-4:])
    expect(ticket(page, "preparing", order)).to_have_count(0)
    expect(page.locator(f"#ready .fresh [href='#order={order['id']}']")).to_be_visible()
    expect(page.locator("#announcer")).to_contain_text(order["id"][-4:])


def test_a_failed_order_is_a_problem_and_its_page_says_why_and_tries_again(page: Page, stack: Stack) -> None:
    show(page, stack)
    order = stack.place("process_email", {"message": "no email"})
    ticket(page, "problem", order).click()

    expect(page.locator("#order-status")).to_have_text("FAILED")
    expect(page.locator("#order-error")).to_contain_text("NotAMessage")
    page.get_by_role("button", name="Try it again").click()
    expect(page.locator("#order-status")).to_have_text("FAILED")
    expect(page.get_by_role("button", name="Cancel this order")).to_be_hidden()
    expect(page.locator("#attempts tbody tr")).to_contain_text(["task_error", "task_error"])
    assert stack.get(order["id"])["status"] in ("PENDING", "RUNNING", "FAILED")


def test_an_order_that_waits_can_be_cancelled_and_leaves(page: Page, stack: Stack) -> None:
    order = stack.http("POST", "/orders", {"task": "cook_nuggets", "input": {"pieces": 1}, "delay_s": 600}).json
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
    assert page.locator("#picture img").evaluate("picture => picture.decode().then(() => picture.naturalWidth)") == 1


def test_a_wrong_token_is_refused_with_words_and_the_right_one_stays_in_memory(page: Page, stack: Stack) -> None:
    wrong = stack.token[:-1] + ("0" if stack.token[-1] != "0" else "1")
    page.goto(f"{stack.url}/board#token={wrong}")
    expect(page.get_by_role("alert")).to_contain_text("won't do")
    page.get_by_label("Access token").fill(stack.token)
    page.get_by_role("button", name="Show the board").click()
    expect(page.locator("#state")).to_have_text("Live")

    kept = page.evaluate("JSON.stringify([location.href, {...localStorage}, {...sessionStorage}, document.cookie,"
                         " document.documentElement.outerHTML, history.state])")
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


def test_a_server_that_stops_is_noticed_and_one_that_comes_back_too(browser: Browser, project: Path) -> None:
    own = Stack(project, BOARD_KEEP_S="6").start()
    with opened(browser) as page:
        show(page, own)
        order = own.ended_order(own.place("cook_nuggets", {"pieces": 1})["id"])
        expect(ticket(page, "ready", order)).to_be_visible()
        expect(ticket(page, "ready", order)).to_have_count(0, timeout=20_000)  # ended orders leave
        own.stop()
        expect(page.locator("#state")).to_contain_text(re.compile(r"Offline since \d\d:\d\d:\d\d\. Next try in \d+ s"))
        own.start()
        again = own.place("cook_nuggets", {"pieces": 1})
        page.wait_for_selector(f"#ready .ticket[href='#order={again['id']}']", timeout=40_000)
        expect(page.locator("#state")).to_have_text("Live")
    own.stop()


@pytest.mark.parametrize("size", [WALL, (3840, 2160), LAPTOP, PHONE, (320, 568)])
def test_references_are_large_on_a_wall_and_whole_on_a_phone(
    browser: Browser, stack: Stack, size: tuple[int, int],
) -> None:
    with opened(browser, size) as page:
        answer(page, [made(n, status) for n, status in enumerate(["PENDING", "RUNNING", "SUCCESS", "FAILED"] * 3)]
               + [made(90, "SUCCESS", id="0" * 22 + "WMWM"), made(91, "PENDING", id="1" * 20 + "AB1230")])
        show(page, stack)
        boxes = page.locator(".ref").evaluate_all(MEASURE)

        assert len(boxes) == 14
        for height, text_right, ticket_right in boxes:
            assert height >= (64 if size >= WALL else 24)
            assert text_right <= ticket_right + 0.5
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WALL, PHONE])
def test_axe_finds_nothing(browser: Browser, stack: Stack, scheme: str, size: tuple[int, int]) -> None:
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


def test_nothing_moves_for_those_who_ask_for_no_motion(browser: Browser, stack: Stack) -> None:
    with opened(browser, reduced_motion="reduce") as page:
        show(page, stack)
        order = stack.place("cook_nuggets", {"pieces": 48})
        expect(ticket(page, "preparing", order)).to_be_visible()
        expect(ticket(page, "ready", order)).to_be_visible()
        assert page.evaluate("document.getAnimations().length") == 0
        expect(page.locator("#announcer")).to_contain_text(order["id"][-4:])


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_stands_in_a_field_is_text(page: Page, stack: Stack, text: str) -> None:
    order = {**made(1, "FAILED"), "id": text, "task": text, "status": text,
             "error": {"code": text, "message": text, "attempt": text}, "progress": {"percent": text, "word": text},
             "links": {"self": text, "parent": text, "follow_ups": [text]}, "max_attempts": text,
             "input": {text: text, "image": f"/9j/{text}"}, "result": {text: text},
             "history": [{"started_at": text, "ended_at": text, "code": text}]}
    orders = [order, {**order, "id": f"{text}1", "done": False}, {**order, "id": f"{text}2", "status": "SUCCESS"}]
    answer(page, orders, {**order, "status": "SUCCESS"})
    show(page, stack)
    expect(page.locator("#problem .task")).to_have_text(text, use_inner_text=False)
    page.evaluate("text => { location.hash = new URLSearchParams({order: text}) }", text)
    expect(page.locator("#order-error")).to_contain_text(text[:20])

    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('script, style, svg, iframe, object').length") == 1
    assert page.evaluate("[...document.querySelectorAll('a')].every(a => a.protocol.startsWith('http'))")


def test_what_tasks_say_of_themselves_is_text_too(browser: Browser, project: Path) -> None:
    (project / "chalicelib" / "tasks" / "hostile.py").write_text(HOSTILE_TASK)
    own = Stack(project).start()
    with opened(browser) as page:
        show(page, own)
        for text in (HOSTILE[0], HOSTILE[1]):
            failing, working = (own.place("hostile", {"text": text, "fail": fail}) for fail in (True, False))
            expect(ticket(page, "preparing", working).locator(".task")).to_have_text(text)
            expect(ticket(page, "preparing", working).locator("progress")).to_have_attribute("value", "30")
            for order, where in ((failing, "#order-error"), (working, "#result pre")):
                own.ended_order(order["id"])
                page.evaluate("id => { location.hash = `order=${id}` }", order["id"])
                expect(page.locator(where)).to_contain_text(text)
            page.evaluate("location.hash = ''")
        assert page.evaluate("window.pwned") is None
    own.stop()


HOSTILE_TASK = '''
import time

from chalicelib.tasks import Context, task


@task(max_attempts=1)
def hostile(order: Context, text: str, fail: bool) -> dict[str, str]:
    order.progress(30, text)
    time.sleep(3)
    if fail:
        raise ValueError(text)
    return {text: text}
'''


def test_more_than_a_hundred_are_a_hundred_and_more(page: Page, stack: Stack) -> None:
    answer(page, [made(n, "PENDING") for n in range(500)])
    show(page, stack)

    expect(page.locator("#preparing-title .count")).to_have_text("100+")
    expect(page.locator("#preparing .ticket")).to_have_count(100)
    expect(page.locator("#preparing .ref").first).to_have_text(made(0, "PENDING")["id"][-4:])  # what waits longest


def test_references_that_would_be_the_same_grow(page: Page, stack: Stack) -> None:
    ids = ["A" * 20 + "1XBCDE", "A" * 20 + "2YBCDE", "A" * 26]
    answer(page, [made(n, "PENDING", id=id) for n, id in enumerate(ids)])
    show(page, stack)
    expect(page.locator("#preparing .ref")).to_have_text(["XBCDE", "YBCDE", "AAAA"])


def test_the_board_is_polite(page: Page, stack: Stack) -> None:
    asked: list[str | None] = []

    def reply(route: Route) -> None:
        asked.append(route.request.headers.get("if-none-match"))
        route.fulfill(status=503 if fails else 304 if asked[-1] else 200, headers={"ETag": '"1"'},
                      json=None if asked[-1] else {"items": []})

    def look_after(seconds: float) -> None:
        """It is asked at that moment and not before; then what the page makes of the answer is done."""
        before = len(asked)
        page.clock.run_for(int(seconds * 1000) - 100)
        assert len(asked) == before
        with page.expect_response(re.compile(r"/orders\?")):
            page.clock.run_for(200)
        page.evaluate("fetch('board/icon.svg').then(answer => answer.text())")

    fails = False
    page.clock.install()
    page.route(re.compile(r"/orders\?"), reply)
    show(page, stack)
    page.clock.pause_at(page.evaluate("Date.now() + 10"))
    with page.expect_response(re.compile(r"/orders\?")):
        page.clock.run_for(2000)
    for _ in range(3):
        look_after(2)
    assert (asked[0], set(asked[1:])) == (None, {'"1"'})

    page.evaluate("Object.defineProperty(document, 'hidden', {configurable: true, get: () => true})")
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


def made(n: int, status: str, id: str = "") -> dict[str, Any]:
    """An order as the API might show it, the n-th that was placed."""
    placed = datetime.now(timezone.utc) - timedelta(seconds=60) + timedelta(milliseconds=n)
    at = placed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"id": id or f"{n * 7919:026d}", "task": "cook_nuggets", "status": status, "attempts": 1, "max_attempts": 5,
            "done": status in ("SUCCESS", "FAILED", "CANCELLED"), "created_at": at, "updated_at": at, "run_at": None,
            "error": None, "progress": None, "links": {}}


def answer(page: Page, orders: list[dict[str, Any]], one: dict[str, Any] | None = None) -> None:
    """The API's answers, for this page: the list in pages of a hundred, newest first, and the one order."""
    def reply(route: Route) -> None:
        if "/orders?" not in route.request.url:
            return route.fulfill(json=one)
        start = int((re.search(r"cursor=(\d+)", route.request.url) or ["", "0"])[1])
        newest = orders[::-1][start:start + 100]
        more = {"next": f"/orders?cursor={start + 100}"} if start + 100 < len(orders) else {}
        return route.fulfill(json={"items": newest, **more})

    page.route(re.compile(r"/orders[?/]"), reply)
