"""Pages of docs/ that tests follow: the files and settings that they show, and their commands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from dev.packaging import own
from dev.packaging.cloudformation import Loader

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"# (\S+/\S+\.(?:py|in)|orderline\.yaml)\n")


@dataclass(frozen=True)
class Block:
    """A block of a page: what `language` it is in, and the file that its first line names, if any.

    A block of orderline.yaml is what the reader adds to that file.
    """

    language: str
    text: str
    file: str


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page in docs/, in their order."""
    found = _BLOCK.findall((DOCS / page).read_text())
    return [Block(language, text, _named(text)) for language, text in found]


def file(page: str, name: str) -> str:
    """Return the content of a file that a page shows once."""
    (content,) = [block.text for block in blocks(page) if block.file == name]
    return content


def add_to_own(path: Path, *texts: str) -> None:
    """Add the members in blocks to orderline.yaml, as its reader does."""
    content = yaml.load(path.read_text(), Loader) if path.exists() else None
    for text in texts:
        content = own.merged(content or {}, yaml.load(text, Loader))
    path.write_text(yaml.safe_dump(content))


def _named(text: str) -> str:
    match = _NAME.match(text)
    return match[1] if match else ""
