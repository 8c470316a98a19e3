"""Debian's Chromium, driven by Playwright. Where it lacks, a test is skipped; in CI it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = Path("/usr/bin/chromium")
WALL, LAPTOP, PHONE = (1920, 1080), (1280, 800), (390, 844)
# It talks to nobody but the page; as root it can't have its own sandbox
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def started() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"no {CHROMIUM} here: .ci/debian-packages installs it"
        )
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 an optional library

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, size: tuple[int, int] = LAPTOP, **options: Any) -> Iterator[Page]:
    """A page with nothing kept from another. Fails if it wrote an error to the console, or raised one."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, locale="en-GB", **options
    )
    page, faults = context.new_page(), list[str]()
    page.set_default_timeout(10_000)
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("console", lambda message: faults.append(message.text) if _is_fault(message) else None)
    yield page
    context.close()
    assert faults == []


def _is_fault(message: Any) -> bool:
    """The browser itself notes every refused or failed fetch as an error; those are what some tests are about."""
    return message.type == "error" and "Failed to load resource" not in message.text
