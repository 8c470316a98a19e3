"""Every relative link in a Markdown file leads to a file and a heading that exist."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = {"build", "node_modules"}  # folders with a dot before their names are left out too
CODE_BLOCK = re.compile(r"^( *)```.*?^\1```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:")


def markdown_files() -> list[Path]:
    found: list[Path] = []
    for folder, subfolders, names in os.walk(ROOT):
        subfolders[:] = [
            name for name in subfolders if not name.startswith(".") and name not in BUILT
        ]
        found += [Path(folder, name) for name in names if name.endswith(".md")]
    return sorted(found)


def links(text: str) -> list[str]:
    """Return the targets of inline links and pictures, without those to other sites."""
    prose = CODE.sub("", CODE_BLOCK.sub("", text))
    return [target for target in LINK.findall(prose) if not SCHEME.match(target)]


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, made as GitHub makes them."""
    slugs: Counter[str] = Counter()
    found = set()
    for heading in HEADING.findall(CODE_BLOCK.sub("", text)):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found.add(f"{slug}-{slugs[slug]}" if slugs[slug] else slug)
        slugs[slug] += 1
    return found


def broken_links(page: Path) -> Iterator[str]:
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        if not file.exists():
            yield f"{target}: there is no such file"
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield f"{target}: the page has no such heading"


@pytest.mark.parametrize("page", markdown_files(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_the_index_of_docs_lists_every_page() -> None:
    docs = ROOT / "docs"
    listed = {
        (docs / target.partition("#")[0]).resolve()
        for target in links((docs / "README.md").read_text())
    }
    pages = {page for page in markdown_files() if page.parent == docs} - {docs / "README.md"}

    assert sorted(page.name for page in pages - listed) == []


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# What it *does*, and `how`\n\n## Twice\n\n## Twice\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[fine](other.md) [too](other.md#twice-1) [and](other.md#what-it-does-and-how) [site](https://example.org/x)\n"
        "`[code](no.md)` [gone](gone.md) [lost](other.md#lost) ![no picture](gone.png)\n"
        "```sh\necho [block](no.md)\n```\n"
    )

    assert [problem.partition(":")[0] for problem in broken_links(page)] == [
        "gone.md",
        "other.md#lost",
        "gone.png",
    ]
