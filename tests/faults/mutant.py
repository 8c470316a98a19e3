"""A mutant: a weakened copy of the code."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """A weakened copy of the code. Each edit is (file, old text, new text)."""

    name: str
    edits: tuple[tuple[str, str, str], ...]


def one(name: str, file: str, old: str, new: str) -> Mutant:
    return Mutant(name, ((f"chalicelib/{file}", old, new),))
