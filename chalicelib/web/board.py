"""The board: a static page and its files, which need no token.

The page reads the orders from the API, with a token that its user enters.
"""

from __future__ import annotations

import functools
from pathlib import Path

from chalicelib import config
from chalicelib.web import static_files
from chalicelib.web.http import Request, Response
from chalicelib.web.operations import api
from chalicelib.web.parameters import FILE, IF_NONE_MATCH

_FOLDER = Path(__file__).parent / "static"
_KEEP_ATTRIBUTE = 'data-keep-s="300"'  # replaced in board.html by the setting BOARD_KEEP_S


@api.operation(
    "GET /board",
    scope=None,
    parameters=(IF_NONE_MATCH,),
    answers=static_files.PAGE_ANSWERS,
)
def show_board(request: Request, owner: str) -> Response:
    """Show the board."""
    return static_files.serve(_files(), "board.html", request)


@api.operation(
    "GET /board/{file}",
    scope=None,
    parameters=(FILE, IF_NONE_MATCH),
    answers=static_files.FILE_ANSWERS,
    problems=("not-found",),
)
def board_file(request: Request, owner: str) -> Response:
    """Get a file of the board."""
    return static_files.serve(_files(), request.params["file"], request)


@functools.cache
def _files() -> static_files.StaticFiles:
    keep = f'data-keep-s="{config.settings().board_keep_s}"'
    return static_files.load(_FOLDER, {_KEEP_ATTRIBUTE: keep})
