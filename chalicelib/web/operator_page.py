"""The operator's page: a static page and its files, which need no token.

It shares the board's style and scripts, and reads the operator's API with a token that its user
enters: one with the scope orders:admin.
"""

from __future__ import annotations

import functools
from pathlib import Path

from chalicelib.web import static_files
from chalicelib.web.http import Request, Response
from chalicelib.web.operations import api
from chalicelib.web.parameters import FILE, IF_NONE_MATCH

_FOLDER = Path(__file__).parent / "operator_static"


@api.operation(
    "GET /operator",
    scope=None,
    parameters=(IF_NONE_MATCH,),
    answers=static_files.PAGE_ANSWERS,
)
def show_operator_page(request: Request, owner: str) -> Response:
    """Show the operator's page."""
    return static_files.serve(_files(), "operator.html", request)


@api.operation(
    "GET /operator/{file}",
    scope=None,
    parameters=(FILE, IF_NONE_MATCH),
    answers=static_files.FILE_ANSWERS,
    problems=("not-found",),
)
def operator_file(request: Request, owner: str) -> Response:
    """Get a file of the operator's page."""
    return static_files.serve(_files(), request.params["file"], request)


@functools.cache
def _files() -> static_files.StaticFiles:
    return static_files.load(_FOLDER)
