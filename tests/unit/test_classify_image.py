"""classify_image on the digits that its training held out, and on what is no picture of a digit."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.tasks import classify_image as digits
from chalicelib.tasks.classify_image import Grid, NotReadable, classify_image
from tests.kit import Cloud

HELD_OUT = Path(__file__).parents[1] / "digits_held_out.json"
STATED_ACCURACY = 0.95


def held_out() -> list[tuple[Grid, int]]:
    """Pages of grey, 12 x 12, with a margin; each of the file's letters is a shade from 0 to 16."""
    pages = []
    for text, digit in json.loads(HELD_OUT.read_text()):
        shades = [int(letter, 17) * 255 / 16 for letter in text]
        rows = [[0.0, 0.0, *shades[start:start + 8], 0.0, 0.0] for start in range(0, 64, 8)]
        pages.append(([[0.0] * 12] * 2 + rows + [[0.0] * 12] * 2, digit))
    return pages


def test_the_shipped_weights_read_the_held_out_digits_as_well_as_is_stated() -> None:
    pages = held_out()
    right = sum(digits.read(page).digit == digit for page, digit in pages)

    assert len(pages) == 450
    assert right / len(pages) >= STATED_ACCURACY


def test_black_on_white_reads_as_white_on_black() -> None:
    for page, _ in held_out()[:20]:
        assert digits.read([[255 - shade for shade in row] for row in page]) == digits.read(page)


def test_an_empty_page_is_refused() -> None:
    with pytest.raises(NotReadable, match="no digit"):
        digits.read([[250.0] * 30] * 30)


def test_without_its_library_the_order_fails_at_once_and_says_what_to_do(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)  # as where it isn't installed
    order = cloud.place("classify_image", {"image": ""})

    cloud.drain()

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["attempts"]) == ("FAILED", 1)
    assert "LOCK=requirements/image.txt" in failed["error"]["message"]


@pytest.mark.local
@pytest.mark.parametrize(("kind", "scale"), [("PNG", 1), ("PNG", 8), ("JPEG", 8)])
def test_a_picture_file_reads_as_its_pixels(kind: str, scale: int) -> None:
    right = sum(classify_image(picture(page, kind, scale)).digit == digit for page, digit in held_out())
    assert right / 450 >= STATED_ACCURACY


@pytest.mark.local
@pytest.mark.parametrize("image", [
    lambda: "", lambda: "a", lambda: "no base64!", lambda: base64.b64encode(b"no picture").decode(),
    lambda: picture(held_out()[0][0], "GIF", 1), lambda: picture(held_out()[0][0], "PNG", 9)[:400],
    lambda: blank(3000, 3000)], ids=["empty", "short", "no base64", "no picture", "GIF", "cut off", "bomb"])
def test_what_is_no_picture_is_refused(image: Callable[[], str]) -> None:
    with pytest.raises(NotReadable):
        classify_image(image())


@pytest.mark.local
def test_a_digit_drawn_on_transparency_reads_as_on_white() -> None:
    from PIL import Image  # noqa: PLC0415 an optional library

    page, digit = held_out()[0]
    mask = Image.open(io.BytesIO(base64.b64decode(picture(page, "PNG", 4))))
    drawn = Image.new("RGBA", mask.size, (0, 0, 0, 0))
    drawn.putalpha(mask)
    assert classify_image(encoded(drawn, "PNG")).digit == digit


def picture(page: Grid, kind: str, scale: int) -> str:
    from PIL import Image  # noqa: PLC0415 an optional library

    image = Image.frombytes("L", (12, 12), bytes(round(shade) for row in page for shade in row))
    return encoded(image.resize((12 * scale, 12 * scale), Image.Resampling.BICUBIC), kind)


def blank(width: int, height: int) -> str:
    from PIL import Image  # noqa: PLC0415 an optional library

    return encoded(Image.new("1", (width, height)), "PNG")


def encoded(image: Any, kind: str) -> str:
    file = io.BytesIO()
    image.save(file, kind)
    return base64.b64encode(file.getvalue()).decode()
