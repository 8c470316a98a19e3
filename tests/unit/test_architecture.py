"""The pictures of docs/architecture.md are true, and the files that pages name exist."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from chalicelib import orders
from chalicelib.orders import TRANSITIONS, Transition

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
DIAGRAMS = re.findall(r"^```mermaid\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
START = "[*]"  # how mermaid writes the state before the first
Edge = tuple[str, str, str]
PAGES = (
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/deploy.md",
    "docs/files.md",
    "docs/from-celery.md",
    "docs/glossary.md",
    "docs/http.md",
    "docs/parts.md",
    "docs/performance.md",
    "docs/scale.md",
    "docs/story.md",
    "docs/testing.md",
)
FILE = re.compile(r"`((?:[\w.-]+/)*[\w.-]+\.(?:py|yaml|json|in)|(?:[\w.-]+/)+)`")


def diagram(beginning: str) -> str:
    found: list[str] = [text for text in DIAGRAMS if text.startswith(beginning)]
    (only,) = found
    return only


def drawn_edges() -> Counter[Edge]:
    arrows = re.findall(r"^ +(\S+) --> (\S+): (.+)$", diagram("stateDiagram-v2"), re.MULTILINE)
    return Counter(
        (source, target, name) for source, target, names in arrows for name in names.split(", ")
    )


def edges(name: str, transition: Transition) -> list[Edge]:
    sources = [status.value for status in transition.sources] or [START]
    return [
        (source, transition.target.value if transition.target else source, name)
        for source in sources
    ]


def test_the_state_diagram_has_every_transition_and_no_other() -> None:
    names = {
        name.lower(): value for name, value in vars(orders).items() if isinstance(value, Transition)
    }
    declared = Counter(
        edge for name, transition in names.items() for edge in edges(name, transition)
    )

    assert set(names.values()) == set(TRANSITIONS)
    assert drawn_edges() == declared


def test_the_picture_of_the_layers_is_the_import_contract() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (contract,) = re.findall(
        r'^type = "layers"\nlayers = \[\n(.*?)^\]$', text, re.DOTALL | re.MULTILINE
    )
    enforced = [set(re.findall(r"chalicelib\.([\w.]+)", line)) for line in contract.splitlines()]
    drawn = [
        set(label.split(" | ")) for label in re.findall(r'\["([^"]+)"\]', diagram("flowchart TB"))
    ]

    assert drawn == enforced


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_exists(page: str) -> None:
    names = FILE.findall((ROOT / page).read_text(encoding="utf-8"))
    example = ROOT / "dev" / "packaging"  # of orderline.yaml, which is the user's own
    folders = (ROOT, ROOT / "chalicelib", ROOT / "requirements", example)
    missing = {name for name in names if not any((folder / name).exists() for folder in folders)}

    assert names
    assert missing == set()
