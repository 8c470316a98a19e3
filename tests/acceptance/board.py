"""Helpers for tests of the board: open it, find tickets, and replace the API's responses."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from tests.acceptance.stack import PATIENCE_S, Stack

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route


def show(page: Page, stack: Stack, order_id: str | None = None) -> None:
    """Open the board, or the page of an order, and wait until it is live."""
    fragment = f"token={stack.token}" + (f"&order={order_id}" if order_id else "")
    page.goto(f"{stack.url}/board#{fragment}")
    expect(page.locator("#state")).to_have_text("Live")


def expect(locator: Locator) -> Any:
    from playwright.sync_api import expect as playwright_expect  # noqa: PLC0415 an optional library

    playwright_expect.set_options(timeout=PATIENCE_S * 1000)
    return playwright_expect(locator)


def ticket(page: Page, column: str, order: Any) -> Locator:
    return page.locator(f"#{column} .ticket[href='#order={order['id']}']")


def order_json(n: int, status: str, id: str = "") -> dict[str, Any]:
    """Return the n-th order that was placed, as the API might show it."""
    created = datetime.now(timezone.utc) - timedelta(seconds=60) + timedelta(milliseconds=n)
    created_at = created.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "id": id or f"{n * 7919:026d}",
        "task": "cook_nuggets",
        "status": status,
        "attempts": 1,
        "max_attempts": 5,
        "done": status in ("SUCCESS", "FAILED", "CANCELLED"),
        "created_at": created_at,
        "updated_at": created_at,
        "run_at": None,
        "error": None,
        "progress": None,
        "stopping": False,
        "waits_for": 0,
        "links": {},
    }


def serve(page: Page, orders: list[dict[str, Any]], order: dict[str, Any] | None = None) -> None:
    """Replace the API's responses for this page: the list of orders, and any single order.

    The list comes in pages of a hundred, newest first.
    """

    def reply(route: Route) -> None:
        if "/orders?" not in route.request.url:
            return route.fulfill(json=order)
        start = int((re.search(r"cursor=(\d+)", route.request.url) or ["", "0"])[1])
        newest = orders[::-1][start : start + 100]
        link = {"next": f"/orders?cursor={start + 100}"} if start + 100 < len(orders) else {}
        return route.fulfill(json={"items": newest, **link})

    page.route(re.compile(r"/orders[?/]"), reply)
