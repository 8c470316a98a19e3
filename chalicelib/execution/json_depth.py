"""How deep JSON text is nested, counted without parsing it, since the parsers themselves recurse."""

from __future__ import annotations

import re

MAX_DEPTH = 64
# A string that never ends matches too, to the end of the text: else every quote in it would be tried as far
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
_STEP = {"[": 1, "{": 1, "]": -1, "}": -1}


def too_deep(text: str) -> bool:
    """Whether any value stands in more than MAX_DEPTH arrays and objects. Brackets in strings don't count."""
    depth = 0
    for token in _TOKEN.finditer(text):
        depth += _STEP.get(token[0], 0)
        if depth > MAX_DEPTH:
            return True
    return False
