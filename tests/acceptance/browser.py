"""Debian's Chromium, driven by Playwright. Without it a test is skipped; in CI it fails."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.stack import PATIENCE_S

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

# Without windows it needs less CPU
CHROMIUMS = (Path("/usr/bin/chromium-headless-shell"), Path("/usr/bin/chromium"))
WALL, LAPTOP, PHONE = (1920, 1080), (1280, 800), (390, 844)
# No traffic but the page's; Chromium has no sandbox when it runs as root
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
    """Start Chromium and stop it at the end."""
    found = [path for path in CHROMIUMS if path.exists()]
    if not found:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"{CHROMIUMS[0]} not found; .ci/debian-packages installs it"
        )
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 an optional library

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found[0], args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, size: tuple[int, int] = LAPTOP, **options: Any) -> Iterator[Page]:
    """Open a page in a fresh profile.

    Raises AssertionError at its end if the page threw an error or wrote one to the console.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, locale="en-GB", **options
    )
    page = context.new_page()
    errors: list[str] = []
    page.set_default_timeout(PATIENCE_S * 1000)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if _is_error(message) else None)
    yield page
    context.close()
    assert errors == []


def _is_error(message: Any) -> bool:
    """Return True for an error of the page, not for a failed fetch, which some tests cause."""
    return message.type == "error" and "Failed to load resource" not in message.text
