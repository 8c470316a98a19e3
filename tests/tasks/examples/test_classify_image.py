"""classify_image on the digits held out from its training, and on input that is not a picture."""

from __future__ import annotations

import base64
import io
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chalicelib.clock import ceil_div
from chalicelib.tasks import File
from chalicelib.tasks.examples import classify_image as digits
from chalicelib.tasks.examples.classify_image import Grid, NotReadable, classify_image
from testkit import Cloud

HELD_OUT = Path(__file__).with_name("digits_held_out.json")
STATED_ACCURACY = 0.95
EXIF_ORIENTATION = 0x0112


def held_out() -> list[tuple[Grid, int]]:
    """Return 12 x 12 pages of grey with a margin; a letter of the file is a shade from 0 to 16."""
    pages = []
    for text, digit in json.loads(HELD_OUT.read_text()):
        shades = [int(letter, 17) * 255 / 16 for letter in text]
        rows = [[0.0, 0.0, *shades[start : start + 8], 0.0, 0.0] for start in range(0, 64, 8)]
        pages.append(([[0.0] * 12] * 2 + rows + [[0.0] * 12] * 2, digit))
    return pages


def test_the_shipped_weights_reach_the_stated_accuracy_on_held_out_digits() -> None:
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


def test_without_its_library_the_order_fails_at_once_with_a_hint(
    cloud: Cloud,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)  # as where it isn't installed
    order = cloud.place("classify_image", {"image": ""})

    cloud.drain()

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["attempts"]) == ("FAILED", 1)
    assert "`pillow` to requirements/own.in" in failed["error"]["message"]


@pytest.mark.local
@pytest.mark.parametrize(("kind", "scale"), [("PNG", 1), ("PNG", 8), ("JPEG", 8)])
def test_a_picture_file_reads_as_its_pixels(kind: str, scale: int) -> None:
    right = sum(
        classify_image(picture(page, kind, scale)).digit == digit for page, digit in held_out()
    )
    assert right / 450 >= STATED_ACCURACY


@pytest.mark.local
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_phone_picture_is_rotated_by_its_exif_orientation(orientation: int) -> None:
    from PIL import Image, ImageOps  # noqa: PLC0415 an optional library

    stored_as = {6: 8, 8: 6}.get(orientation, orientation)  # all other rotations undo themselves
    for page, _ in held_out()[:20]:
        upright = Image.open(io.BytesIO(base64.b64decode(picture(page, "PNG", 8))))
        upright.getexif()[EXIF_ORIENTATION] = stored_as
        stored = ImageOps.exif_transpose(upright)
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        reading = classify_image(encoded(stored, "JPEG", exif=exif))
        assert reading.digit == classify_image(encoded(upright, "JPEG")).digit


@pytest.mark.local
def test_sixteen_bits_of_grey_read_as_eight() -> None:
    from PIL import Image  # noqa: PLC0415 an optional library

    page, _ = held_out()[0]
    grey = Image.open(io.BytesIO(base64.b64decode(picture(page, "PNG", 4))))
    deep = grey.convert("I").point(lambda shade: shade * 257).convert("I;16")
    assert classify_image(encoded(deep, "PNG")) == classify_image(encoded(grey, "PNG"))


@pytest.mark.local
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (lambda: "", "send the whole file"),
        (lambda: "a", "send the whole file"),
        (lambda: "no base64!", "send the whole file"),
        (lambda: "é", "send the whole file"),
        (lambda: base64.b64encode(b"no picture").decode(), "send the whole file"),
        (lambda: base64.b64encode(b"\0\0\0 ftypheic\0\0").decode(), "save it as JPEG or PNG"),
        (lambda: picture(held_out()[0][0], "PNG", 9)[:400], "send the whole file"),
        (lambda: picture(held_out()[0][0], "JPEG", 9)[:800], "send the whole file"),
        (
            lambda: crafted(96, 96, b"zTXt", b"a\0\0" + zlib.compress(b"a" * 20_000_000)),
            "send the whole file",
        ),
        (lambda: blank(5000, 4001), "at most 20,000,000 pixels"),
        (
            lambda: crafted(100_000, 100_000, b"IDAT", zlib.compress(b"\0" * 1000)),
            "at most 20,000,000 pixels",
        ),
    ],
    ids=[
        "empty",
        "short",
        "no base64",
        "no ascii",
        "no picture",
        "HEIC",
        "PNG cut off",
        "JPEG cut off",
        "text bomb",
        "large",
        "bomb",
    ],
)
def test_an_unreadable_picture_fails_at_its_first_attempt(
    cloud: Cloud, image: Callable[[], str], message: str
) -> None:
    order = cloud.place("classify_image", {"image": image()})

    cloud.drain()

    failed = cloud.get(order["id"])
    assert (failed["status"], failed["attempts"]) == ("FAILED", 1)
    assert failed["error"]["message"].startswith("NotReadable: ")
    assert message in failed["error"]["message"]


@pytest.mark.local
@pytest.mark.parametrize(
    ("kind", "mode", "options"),
    [
        ("GIF", "P", {}),
        ("WEBP", "RGB", {}),
        ("BMP", "RGB", {}),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("PNG", "P", {}),
        ("PNG", "LA", {}),
        ("PNG", "1", {}),
        ("PNG", "I;16", {}),
    ],
)
@pytest.mark.parametrize("scale", [8, 120])
def test_every_usual_format_is_read_small_or_large(
    kind: str, mode: str, options: dict[str, Any], scale: int
) -> None:
    from PIL import Image  # noqa: PLC0415 an optional library

    pages = held_out()[:5]
    right = 0
    for page, digit in pages:
        image: Image.Image = Image.open(io.BytesIO(base64.b64decode(picture(page, "PNG", scale))))
        if mode == "I;16":
            image = image.convert("I").point(lambda shade: shade * 257)
        content = base64.b64decode(encoded(image.convert(mode), kind, **options))
        right += classify_image(File.of(content)).digit == digit
    assert right == 5


@pytest.mark.local
def test_a_photo_of_3_mb_is_read_through_the_cloud(cloud: Cloud) -> None:
    page, digit = held_out()[0]
    content = photo(page, 4032, 3024)
    assert 3_000_000 < len(content) < 8_000_000
    file = {"file": cloud.upload(content, "image/jpeg"), "name": "photo.jpg"}

    order = cloud.place("classify_image", {"image": file})
    cloud.drain()

    ended = cloud.get(order["id"])
    assert (ended["status"], ended["result"]["digit"]) == ("SUCCESS", digit)


@pytest.mark.local
def test_photos_of_a_digit_on_paper_are_read() -> None:
    pages = held_out()[:12]
    right = sum(
        classify_image(File.of(photo(page, 1600, 1200))).digit == digit for page, digit in pages
    )
    assert right >= 11


def test_another_type_of_file_is_not_accepted(cloud: Cloud) -> None:
    file_id = cloud.upload(b"%PDF", "application/pdf")

    refusal = cloud.http(
        "POST", "/orders", {"task": "classify_image", "input": {"image": {"file": file_id}}}
    )

    assert (refusal.status, refusal.json["pointer"]) == (422, "/input/image")
    assert "accepted: image/*" in refusal.json["detail"]


IN_LITTLE_MEMORY = """
import resource, sys
from pathlib import Path
from chalicelib.tasks import File
from chalicelib.tasks.examples.classify_image import NotReadable, classify_image
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]) * 2**20,) * 2)
try:
    print(classify_image(File.of(Path(sys.argv[1]))).digit)
except NotReadable as error:
    print(error)
"""


@pytest.mark.local
@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit memory")
def test_a_photo_of_50_megapixels_is_read_in_little_memory(tmp_path: Path) -> None:
    page, digit = held_out()[0]
    path = tmp_path / "photo.jpg"
    path.write_bytes(photo(page, 8160, 6144))

    assert read_in_memory(path, 250) == str(digit)


@pytest.mark.local
@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit memory")
@pytest.mark.parametrize(
    ("interleaved", "message"), [(True, "almost no contrast"), (False, "too large")]
)
def test_a_jpeg_with_a_scan_for_each_component_is_no_larger_than_other_formats(
    tmp_path: Path, interleaved: bool, message: str
) -> None:
    path = tmp_path / "flat.jpg"
    path.write_bytes(flat_jpeg(8900, interleaved))

    assert message in read_in_memory(path, 250)


@pytest.mark.local
@pytest.mark.skipif(sys.platform != "linux", reason="macOS does not limit memory")
def test_a_thin_picture_is_scaled_down_before_it_is_copied(tmp_path: Path) -> None:
    from PIL import Image  # noqa: PLC0415 an optional library

    path = tmp_path / "thin.png"
    drawn = Image.new("RGBA", (20_000, 1000), "white")
    drawn.paste("black", (9000, 100, 11_000, 900))
    drawn.save(path, compress_level=1)

    assert read_in_memory(path, 350).isdigit()


@pytest.mark.local
def test_a_side_of_more_than_20000_pixels_is_refused() -> None:
    from PIL import Image  # noqa: PLC0415 an optional library

    with pytest.raises(NotReadable, match="20,000 a side"):
        classify_image(encoded(Image.new("1", (20_001, 9)), "PNG"))


def read_in_memory(path: Path, megabytes: int) -> str:
    """Return the digit or the error of classify_image in a process of limited memory."""
    command = [sys.executable, "-c", IN_LITTLE_MEMORY, str(path), str(megabytes)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return run.stdout.strip()


def flat_jpeg(side: int, interleaved: bool) -> bytes:
    """Return a grey square in three components, in one scan or in one for each.

    Its Huffman tables have one code each, the bit 0: no difference and the end of the block.
    """

    def segment(kind: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, kind, 2 + len(content)) + content

    def scan(*components: int) -> bytes:
        header = bytes([len(components)]) + b"".join(bytes([each, 0]) for each in components)
        blocks = ceil_div(side, 8) ** 2 * len(components)
        return segment(0xDA, header + bytes([0, 63, 0])) + bytes(ceil_div(2 * blocks, 8))

    frame = struct.pack(">BHHB", 8, side, side, 3) + bytes([1, 17, 0, 2, 17, 0, 3, 17, 0])
    tables = b"".join(bytes([table, 1]) + bytes(16) for table in (0x00, 0x10))
    scans = scan(1, 2, 3) if interleaved else scan(1) + scan(2) + scan(3)
    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC0, frame) + segment(0xC4, tables)
    return b"\xff\xd8" + head + scans + b"\xff\xd9"


@pytest.mark.local
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG", "TIFF"])
def test_a_large_picture_is_rotated_too(kind: str) -> None:
    from PIL import Image  # noqa: PLC0415 an optional library

    page, _ = held_out()[0]
    upright = Image.open(io.BytesIO(base64.b64decode(picture(page, "PNG", 120))))
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    turned = upright.transpose(Image.Transpose.ROTATE_90).convert("RGB")
    expected = classify_image(encoded(upright, "PNG"))

    reading = classify_image(encoded(turned, kind, exif=exif))

    assert reading.digit == expected.digit
    assert abs(reading.probability - expected.probability) < 0.05


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


def photo(page: Grid, width: int, height: int) -> bytes:
    """Return a JPEG with the grain of a camera: dark ink on grey paper, turned by its metadata."""
    from PIL import Image, ImageChops  # noqa: PLC0415 an optional library

    ink = Image.frombytes("L", (12, 12), bytes(round(shade) for row in page for shade in row))
    side = round(height * 0.8)
    paper = Image.new("L", (height, width), 205)  # upright, as the digit is
    shades = ink.resize((side, side), Image.Resampling.BICUBIC).point(lambda ink: 205 - ink * 0.6)
    paper.paste(shades, ((height - side) // 2, (width - side) // 2))
    grain = Image.effect_noise(paper.size, 30)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    turned = ImageChops.add(paper, grain, offset=-128).transpose(Image.Transpose.ROTATE_90)
    return base64.b64decode(encoded(turned.convert("RGB"), "JPEG", quality=75, exif=exif))


def blank(width: int, height: int) -> str:
    from PIL import Image  # noqa: PLC0415 an optional library

    return encoded(Image.new("1", (width, height)), "PNG")


def crafted(width: int, height: int, name: bytes, content: bytes) -> str:
    """Return a PNG whose header claims this size, with one more chunk."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(octets))
        + kind
        + octets
        + struct.pack(">I", zlib.crc32(kind + octets))
        for kind, octets in ((b"IHDR", header), (name, content), (b"IEND", b""))
    ]
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()


def encoded(image: Any, kind: str, **options: Any) -> str:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()
