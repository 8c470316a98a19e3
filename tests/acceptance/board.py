"""The board as a test sees it: opening it, what stands on it, and answers of the API in place of the real ones."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tests.acceptance.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route


def show(page: Page, stack: Stack, order_id: str | None = None) -> None:
    page.goto(f"{stack.url}/board#token={stack.token}" + (f"&order={order_id}" if order_id else ""))
    expect(page.locator("#state")).to_have_text("Live")


def expect(locator: Locator) -> Any:
    from playwright.sync_api import expect as playwright_expect  # noqa: PLC0415 an optional library

    return playwright_expect(locator)


def ticket(page: Page, column: str, order: Any) -> Locator:
    return page.locator(f"#{column} .ticket[href='#order={order['id']}']")


def made(n: int, status: str, id: str = "") -> dict[str, Any]:
    """An order as the API might show it, the n-th that was placed."""
    placed = datetime.now(timezone.utc) - timedelta(seconds=60) + timedelta(milliseconds=n)
    at = placed.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "id": id or f"{n * 7919:026d}",
        "task": "cook_nuggets",
        "status": status,
        "attempts": 1,
        "max_attempts": 5,
        "done": status in ("SUCCESS", "FAILED", "CANCELLED"),
        "created_at": at,
        "updated_at": at,
        "run_at": None,
        "error": None,
        "progress": None,
        "links": {},
    }


def answer(page: Page, orders: list[dict[str, Any]], one: dict[str, Any] | None = None) -> None:
    """The API's answers, for this page: the list in pages of a hundred, newest first, and the one order."""

    def reply(route: Route) -> None:
        if "/orders?" not in route.request.url:
            return route.fulfill(json=one)
        start = int((re.search(r"cursor=(\d+)", route.request.url) or ["", "0"])[1])
        newest = orders[::-1][start : start + 100]
        more = {"next": f"/orders?cursor={start + 100}"} if start + 100 < len(orders) else {}
        return route.fulfill(json={"items": newest, **more})

    page.route(re.compile(r"/orders[?/]"), reply)
