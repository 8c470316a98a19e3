"""The board: one page and its files, the same for everybody. What it shows it reads from the API, with a token."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from chalicelib import config
from chalicelib.errors import NotFound
from chalicelib.web import etag
from chalicelib.web.http import Request, Response

_FOLDER = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_KEEP = 'data-keep-s="300"'  # as the page has it
_HEADERS = {
    # Nothing but its own files and the API of its own origin; no script in the page itself. CSP Level 3
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


def page(request: Request, owner: str) -> Response:
    """GET /board"""
    return _answer("board.html", request)


def file(request: Request, owner: str) -> Response:
    """GET /board/{file}"""
    return _answer(request.params["file"], request)


def _answer(name: str, request: Request) -> Response:
    files = _files()
    if name not in files:
        raise NotFound(f"the board has no file {name!r}")
    text, tag = files[name]
    headers = {
        **_HEADERS,
        "ETag": tag,
        "Content-Type": f"{_TYPES[Path(name).suffix]}; charset=utf-8",
    }
    if etag.matches(request.headers.get("if-none-match"), tag):
        return Response(304, "", headers)
    return Response(200, text, headers)


@functools.cache
def _files() -> dict[str, tuple[str, str]]:
    """Each file's text and ETag, by its name: what isn't there can't be asked for."""
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in _FOLDER.iterdir()
        if path.suffix in _TYPES
    }
    texts["board.html"] = texts["board.html"].replace(
        _KEEP, f'data-keep-s="{config.settings().board_keep_s}"'
    )
    return {
        name: (text, f'"{hashlib.sha256(text.encode()).hexdigest()[:20]}"')
        for name, text in texts.items()
    }
