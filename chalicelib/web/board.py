"""The board: a static page and its files, which need no token.

The page reads the orders from the API, with a token that its user enters.
"""

from __future__ import annotations

import functools
from pathlib import Path

from chalicelib import config
from chalicelib.web import static_files
from chalicelib.web.http import Request, Response

_FOLDER = Path(__file__).parent / "static"
_KEEP_ATTRIBUTE = 'data-keep-s="300"'  # replaced in board.html by the setting BOARD_KEEP_S


def serve(name: str, request: Request) -> Response:
    """Return a file of the board, or 304 if the client has it. Raises NotFound."""
    return static_files.serve(_files(), name, request)


@functools.cache
def _files() -> static_files.StaticFiles:
    keep = f'data-keep-s="{config.settings().board_keep_s}"'
    return static_files.load(_FOLDER, {_KEEP_ATTRIBUTE: keep})
