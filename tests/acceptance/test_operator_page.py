"""The operator's page in a browser, on a real stack with 50 tasks and 5,000 failed orders."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from chalicelib.clock import SECOND
from chalicelib.orders import Order
from tests.acceptance import operations
from tests.acceptance.board import expect
from tests.acceptance.browser import LAPTOP, PHONE, opened
from tests.acceptance.operations import reading, show
from tests.acceptance.stack import Stack, copy_of_the_project

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request, Route

pytestmark = pytest.mark.local

ELEMENTS = "document.querySelectorAll('*').length"
ROWS = "#failures tr"


class Operations:
    """A running stack, its operator's token, and the orders that had failed when it started."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.token = operations.admin_token(stack)
        self.failed = operations.failed_orders()
        operations.store(stack, self.failed)
        operations.store(stack, operations.succeeded_orders(150, "local"))

    def get(self, order: Order) -> Any:
        headers = {"Authorization": f"Bearer {self.token}"}
        path = f"/operator/orders/{order.owner}/{order.id}"
        return self.stack.http("GET", path, headers=headers).json

    def add_failures(self, task: str, count: int, code: str, start: int) -> list[Order]:
        """Store more failed orders, of a task of their own; `start` sets their ids apart."""
        orders = operations.failed_orders(count, first=start, tasks=(task,), code=code)
        operations.store(self.stack, orders)
        return orders


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operations]:
    project = copy_of_the_project(tmp_path_factory.mktemp("operations"))
    operations.prepare(project)
    stack = Stack(project).start()
    yield Operations(stack)
    stack.stop()


def test_it_shows_50_tasks_and_5000_failures_in_pages_and_the_document_stays_small(
    page: Page, desk: Operations
) -> None:
    show(page, desk.stack, desk.token)

    expect(page.locator("#tiles")).to_contain_text("Failed in 24 h")
    expect(page.locator("#tasks tr")).to_have_count(10)
    expect(page.locator("#ended svg rect").first).to_be_attached()
    page.get_by_role("button", name="Show all 50 tasks").click()
    expect(page.locator("#tasks tr")).to_have_count(50)
    expect(page.locator(ROWS)).to_have_count(50)
    elements = [page.evaluate(ELEMENTS)]
    for number in range(2, 6):
        page.get_by_role("button", name="Older").click()
        expect(page.locator("#shown")).to_contain_text(f"Page {number}, 50 orders")
        elements.append(page.evaluate(ELEMENTS))
    assert max(elements) < 2500
    assert elements[-1] == pytest.approx(elements[0], abs=100)


def test_older_and_newer_turn_the_pages(page: Page, desk: Operations) -> None:
    show(page, desk.stack, desk.token)
    first = page.locator(f"{ROWS} .link").all_inner_texts()

    page.get_by_role("button", name="Older").click()
    expect(page.locator("#shown")).to_contain_text("Page 2")
    second = page.locator(f"{ROWS} .link").all_inner_texts()
    page.get_by_role("button", name="Newer").click()
    expect(page.locator("#shown")).to_contain_text("Page 1")

    assert page.locator(f"{ROWS} .link").all_inner_texts() == first
    assert [*first, *second] == [order.id[-4:] for order in desk.failed[:100]]


def test_a_token_without_the_scope_is_told_which_it_lacks(page: Page, desk: Operations) -> None:
    token = desk.stack.dev("token", "create", "bakery").split()[0]
    page.goto(f"{desk.stack.url}/operator#token={token}")

    expect(page.locator("#token-error")).to_contain_text("orders:admin")
    expect(page.get_by_label("Access token")).to_be_focused()
    expect(page.locator("#desk")).to_be_hidden()
    assert token not in page.url


def test_filters_are_in_the_address_and_survive_a_reload(page: Page, desk: Operations) -> None:
    show(page, desk.stack, desk.token)
    page.get_by_label("Task", exact=True).fill("send_email")
    page.get_by_label("Owner", exact=True).fill("bakery")
    page.get_by_label("Code", exact=True).fill("task_error")
    page.get_by_label("Since", exact=True).fill("7d")
    with reading(page):
        page.locator("#filters").get_by_role("button", name="Show").click()
    page.reload()
    page.get_by_label("Access token").fill(desk.token)
    with reading(page):
        page.keyboard.press("Enter")

    assert page.url.endswith("#task=send_email&owner=bakery&code=task_error&since=7d")
    fits = [
        order
        for order in desk.failed
        if order.task == "send_email"
        and order.owner == "bakery"
        and order.error
        and order.error.code == "task_error"
    ]
    shown = page.locator(f"{ROWS} .link").all_inner_texts()
    assert shown == [order.id[-4:] for order in fits[: len(shown)]]
    assert len(shown) >= 50
    assert [page.locator(f"#{name}").input_value() for name in ("task", "owner", "code")] == [
        "send_email",
        "bakery",
        "task_error",
    ]
    with reading(page):
        page.get_by_role("button", name="Clear").click()
    expect(page.locator("#task")).to_have_value("")
    page.get_by_label("Task", exact=True).fill("not shown yet")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#task")).to_have_value("")


def test_a_time_that_is_none_is_explained(page: Page, desk: Operations) -> None:
    page.goto(f"{desk.stack.url}/operator#token={desk.token}&since=soon")
    expect(page.locator("#since-error")).to_contain_text("soon is not a time: write 30m")
    expect(page.locator(ROWS)).to_have_count(0)


def test_the_name_of_a_task_filters_the_failures_and_nothing_else_is_read_again(
    page: Page, desk: Operations
) -> None:
    page.clock.install()
    show(page, desk.stack, desk.token)
    expect(page.locator("#ended svg")).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 0.1"))
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url.partition("?")[0]))
    with reading(page):
        page.locator("#tasks").get_by_role("link", name="resize_photo").click()

    expect(page.locator("#task")).to_have_value("resize_photo")
    assert set(page.locator(f"{ROWS} td:nth-child(3)").all_inner_texts()) == {"resize_photo"}
    reads = [url for url in requests if "/operator/" in url]  # not the icon
    assert reads == [f"{desk.stack.url}/operator/failures"]


def test_a_selection_is_retried_and_no_other_order(page: Page, desk: Operations) -> None:
    orders = desk.add_failures("report_01", 4, "task_error", 10_000)
    show(page, desk.stack, desk.token, "&task=report_01")
    for order in orders[:2]:
        page.get_by_label(f"Select order {order.id[-4:]}").check()
    page.get_by_role("button", name="Retry 2 selected").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 failed orders.")
    dialog.get_by_role("button", name="Retry 2").click()
    expect(dialog).to_contain_text("2 retried.")
    dialog.get_by_role("button", name="Close").click()

    expect(page.locator(ROWS)).to_have_count(2)
    statuses = [desk.get(order)["status"] for order in orders]
    assert "FAILED" not in statuses[:2]
    assert statuses[2:] == ["FAILED", "FAILED"]


def test_a_selected_order_that_has_failed_again_since_is_refused(
    page: Page, desk: Operations
) -> None:
    (order,) = desk.add_failures("report_05", 1, "task_error", 50_000)
    show(page, desk.stack, desk.token, "&task=report_05")
    page.locator(f"{ROWS} input").check()
    later = order.updated_at + SECOND // 500
    operations.store(desk.stack, [structs.replace(order, updated_at=later, check_at=later)])
    page.get_by_role("button", name="Retry 1 selected").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Retry it").click()

    expect(dialog).to_contain_text("0 retried, 1 refused.")
    expect(dialog.locator("li")).to_contain_text(order.id[-4:])
    assert desk.get(order)["status"] == "FAILED"


def test_all_of_a_task_are_counted_first_and_retried_in_steps(page: Page, desk: Operations) -> None:
    orders = desk.add_failures("report_02", 1203, "task_error", 20_000)
    show(page, desk.stack, desk.token, "&task=report_02&owner=cinema&since=2d")
    page.get_by_role("button", name="Retry all of report_02 since 2d").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("1,203 failed orders.")
    expect(dialog).to_contain_text("The filter by owner does not apply here.")
    dialog.get_by_label("Spread over").select_option("6 hours")
    steps: list[dict[str, Any]] = []
    page.on("request", lambda request: steps.append(_body(request)))
    dialog.get_by_role("button", name="Retry 1,203").click()
    expect(dialog).to_contain_text("1,203 retried.")
    with reading(page):
        dialog.get_by_role("button", name="Close").click()

    expect(page.locator("#failures")).to_contain_text("No order failed")
    retries = [step for step in steps if "failed_since" in step]
    assert len(retries) >= 3
    assert {step["over_s"] for step in retries} == {21600}
    assert len({step["failed_before"] for step in retries}) == 1
    some = [desk.get(order) for order in orders[::200]]
    assert {order["status"] for order in some} <= {"PENDING", "RUNNING", "SUCCESS"}
    assert any(order["run_at"] for order in some)
    assert desk.get(desk.failed[-1])["status"] == "FAILED"


def test_a_step_whose_answer_was_lost_is_repeated_and_retries_none_twice(
    page: Page, desk: Operations
) -> None:
    orders = desk.add_failures("report_03", 3, "task_error", 30_000)
    show(page, desk.stack, desk.token, "&task=report_03")
    lost: list[str] = []

    def lose(route: Route) -> None:
        body = _body(route.request)
        if "dry_run" in body or lost:
            route.continue_()
        else:
            lost.append(route.fetch().text())
            route.abort()

    page.route("**/operator/retry", lose)
    page.get_by_role("button", name="Retry all of report_03 since 24h").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Retry 3").click()
    expect(dialog.get_by_role("alert")).to_contain_text("No response.")
    dialog.get_by_role("button", name="Continue").click()
    expect(dialog.get_by_role("button", name="Close")).to_be_visible()
    dialog.get_by_role("button", name="Close").click()

    assert '"retried": 3' in lost[0]
    for order in orders:
        ended = desk.get(order)
        assert (ended["status"], ended["attempts"]) in (("SUCCESS", 1), ("PENDING", 0))


def test_without_a_task_nothing_is_retried_and_the_page_says_what_to_do(
    page: Page, desk: Operations
) -> None:
    show(page, desk.stack, desk.token)
    page.get_by_role("button", name="Retry all of a task").click()

    expect(page.locator("#failures-error")).to_contain_text("Choose a task first")
    expect(page.get_by_label("Task", exact=True)).to_be_focused()


def test_everything_works_with_the_keyboard_alone(page: Page, desk: Operations) -> None:
    (order,) = desk.add_failures("report_04", 1, "task_error", 40_000)
    page.goto(f"{desk.stack.url}/operator#task=report_04")
    page.keyboard.type(desk.token)
    with reading(page):
        page.keyboard.press("Enter")
    press_until(page, "Tab", "#select-all")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    press_until(page, "Tab", "#failures .link")
    page.keyboard.press("Enter")
    details = page.get_by_role("dialog")
    expect(details).to_contain_text(order.id)
    press_until(page, "Shift+Tab", "#show-input")
    page.keyboard.press("Enter")
    expect(details.locator("pre")).to_contain_text('"n":')
    page.keyboard.press("Escape")
    expect(details).to_be_hidden()
    expect(page.locator("#failures .link")).to_be_focused()
    press_until(page, "Shift+Tab", "#retry-selected")
    page.keyboard.press("Enter")
    expect(page.locator("#retry-start")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#retry-close")).to_be_focused()
    expect(page.get_by_role("dialog")).to_contain_text("1 retried.")
    page.keyboard.press("Enter")

    expect(page.locator("#failures")).to_contain_text("No order failed")
    assert desk.get(order)["status"] != "FAILED"


def test_it_reads_the_overview_every_ten_seconds_while_it_is_visible(
    page: Page, desk: Operations
) -> None:
    reads: list[str] = []
    page.on("request", lambda request: reads.append(request.url) if _is_overview(request) else None)
    page.clock.install()
    show(page, desk.stack, desk.token)
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 0.1"))
    assert len(reads) == 1
    with page.expect_response("**/operator/overview"):
        page.clock.run_for(10_500)
    page.evaluate(_HIDE, True)
    page.clock.run_for(60_000)
    before_visible = len(reads)
    with page.expect_response("**/operator/overview"):
        page.evaluate(_HIDE, False)

    assert before_visible == 2


_HIDE = """hidden => {
  Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
  document.dispatchEvent(new Event('visibilitychange'));
}"""


def test_when_the_api_does_not_answer_it_says_since_when_and_goes_on(
    page: Page, desk: Operations
) -> None:
    show(page, desk.stack, desk.token)
    page.route("**/operator/overview", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#state")).to_contain_text("Offline since")
    page.unroute("**/operator/overview")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#state")).to_have_text("Live")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE])
def test_axe_finds_nothing(
    browser: Browser, desk: Operations, scheme: str, size: tuple[int, int]
) -> None:
    from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 an optional library

    with opened(browser, size, color_scheme=scheme, reduced_motion="reduce") as page:
        page.goto(f"{desk.stack.url}/operator")
        expect(page.get_by_label("Access token")).to_be_visible()
        found = [Axe().run(page).generate_report()]
        show(page, desk.stack, desk.token, "&task=send_email")
        expect(page.locator("#ended svg")).to_be_visible()
        page.locator(f"{ROWS} input").first.check()
        found.append(Axe().run(page).generate_report())
        page.get_by_role("button", name="Retry all of send_email").click()
        expect(page.locator("#retry-count")).to_contain_text("failed orders")
        found.append(Axe().run(page).generate_report())
        page.keyboard.press("Escape")
        page.locator(f"{ROWS} .link").first.click()
        page.get_by_role("button", name="Show the input").click()
        expect(page.locator("#details-input")).to_be_visible()
        found.append(Axe().run(page).generate_report())
        assert [report for report in found if "Found 0 " not in report] == []


@pytest.mark.parametrize("size", [PHONE, (320, 568)])
def test_a_phone_needs_no_horizontal_scrolling(
    browser: Browser, desk: Operations, size: tuple[int, int]
) -> None:
    with opened(browser, size) as page:
        show(page, desk.stack, desk.token)
        expect(page.locator("#ended svg")).to_be_visible()
        page.get_by_role("button", name="Show all 50 tasks").click()
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
        page.locator(f"{ROWS} input").first.check()
        page.get_by_role("button", name="Retry 1 selected").click()
        box = page.get_by_role("dialog").bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]


@pytest.mark.parametrize(
    "text", ["<img src=x onerror=window.pwned=1>", "javascript:window.pwned=1", "a" * 3000, "\x00"]
)
def test_every_field_is_shown_as_text(page: Page, desk: Operations, text: str) -> None:
    at = datetime.now(timezone.utc).isoformat()
    order = {
        "id": text,
        "task": text,
        "owner": text,
        "lane": text,
        "status": text,
        "error": {"code": text, "message": text, "attempt": 1},
        "attempts": text,
        "max_attempts": text,
        "created_at": at,
        "failed_at": at,
        "input": {text: text},
        "history": [{"started_at": at, "ended_at": at, "code": text}],
    }
    task = {"name": text, "lane": text, "failed_1h": 1, "failed_24h": 1, "more": False}
    replies: dict[str, Any] = {
        "overview": {
            "at": at,
            "lanes": [{"name": text, "waiting": 1, "running": 1, "delayed": 1}],
            "dead_letters": 0,
            "overdue": {"count": 0, "more": False, "oldest_s": 0},
            "tasks": [{**task, "overdue": 0}],
        },
        "durations": {"owner": text, "orders": 1, "since": at, "tasks": [], "ended": []},
        "failures": {"items": [order]},
        "orders": order,
    }

    def reply(route: Route) -> None:
        name = re.split("[/?]", route.request.url.partition("/operator/")[2])[0]
        route.fulfill(json=replies[name])

    page.route(re.compile(r"/operator/(overview|durations|failures|orders)([?/]|$)"), reply)
    show(page, desk.stack, desk.token)
    page.locator(f"{ROWS} .link").click()
    expect(page.locator("#details-input")).to_be_visible()

    expect(page.locator("#tasks a")).to_have_text(text, use_inner_text=False)
    assert page.evaluate("window.pwned") is None
    assert page.locator("img, iframe, style").count() == 0
    assert page.evaluate(
        "[...document.querySelectorAll('a')].every(a => a.protocol.startsWith('http'))"
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= LAPTOP[0]


def press_until(page: Page, key: str, selector: str) -> None:
    """Press a key until an element has the focus, at most 100 times."""
    for _ in range(100):
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{selector} can't be reached with {key}")


def _body(request: Request) -> dict[str, Any]:
    is_retry = request.method == "POST" and request.url.endswith("/operator/retry")
    body: Any = request.post_data_json if is_retry else {}
    return dict(body)


def _is_overview(request: Request) -> bool:
    return request.url.endswith("/operator/overview")
