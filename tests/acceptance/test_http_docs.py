"""The commands of docs/http.md, run line by line; each prints the comment below it."""

from __future__ import annotations

import pytest

from tests.acceptance import transcript
from tests.acceptance.stack import Stack

pytestmark = pytest.mark.local


def test_each_command_prints_what_the_page_shows(stack: Stack) -> None:
    assert transcript.check(stack, "http.md") >= 15
