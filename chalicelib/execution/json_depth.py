"""Limit the nesting of JSON text. It is counted without a parser, since parsers recurse."""

from __future__ import annotations

import re

MAX_DEPTH = 64
# An unterminated string matches to the end of the text; otherwise every quote in it would be tried
# as a start, which takes quadratic time
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def too_deep(text: str, max_depth: int = MAX_DEPTH) -> bool:
    """Return True if arrays and objects are nested deeper than `max_depth`, ignoring strings."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += _STEP.get(token[0], 0)
        if depth > max_depth:
            return True
    return False
