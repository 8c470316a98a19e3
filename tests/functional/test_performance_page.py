"""docs/performance.md, README and the plots show what benchmarks/results.json records."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks import page

RESULTS = page.read()


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_the_measured_numbers_are_those_of_the_results(path: Path) -> None:
    """`make plot` writes them."""
    text = path.read_text(encoding="utf-8")

    assert page.regenerated(text, RESULTS) == text


def test_every_block_is_on_a_page() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in page.PAGES)

    assert sorted(found[2] for found in page.BLOCK.finditer(texts)) == sorted(page.BLOCKS)


def test_the_plots_are_drawn_from_the_results() -> None:
    for path, svg in page.plots(RESULTS).items():
        assert path.read_text(encoding="utf-8") == svg
        bars = ET.fromstring(svg).findall("{http://www.w3.org/2000/svg}rect")
        assert len(bars) == 5
        assert all(float(bar.attrib["width"]) > 100 for bar in bars)


def test_the_results_are_of_a_full_run_with_all_systems() -> None:
    assert not RESULTS["quick"]
    assert RESULTS["cpu_ms"].keys() == page.SYSTEMS.keys()
    assert {line.partition(",")[0] for line in RESULTS["end_to_end"]} == page.SERVICES.keys()


@pytest.mark.parametrize("results", [{**RESULTS, "quick": True}, {"quick": False}])
def test_a_run_that_is_quick_or_without_the_peers_leaves_the_pages(
    results: page.Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    copy = tmp_path / "performance.md"
    copy.write_text("<!-- measured: machine -->\n<!-- end -->", encoding="utf-8")
    (tmp_path / "results.json").write_text(json.dumps(results), encoding="utf-8")
    monkeypatch.setattr(page, "ROOT", tmp_path)
    monkeypatch.setattr(page, "PAGES", (copy,))
    monkeypatch.setattr(page, "RESULTS", tmp_path / "results.json")

    assert page.main() == 1
    assert copy.read_text(encoding="utf-8") == "<!-- measured: machine -->\n<!-- end -->"


def test_no_other_page_compares_with_the_peers_in_numbers() -> None:
    """A number outside the blocks would become wrong with the next measurement."""
    for path in [*page.PAGES, *(page.ROOT / "docs").glob("*.md")]:
        text = page.BLOCK.sub("", path.read_text(encoding="utf-8"))
        assert not re.findall(r"\d\.\d+ x\b.*(?:Celery|Huey)|(?:Celery|Huey).*\b\d\.\d+ x\b", text)
