"""The board: a static page and its files, which need no token.

The page reads the orders from the API, with a token that its user enters.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from chalicelib import config
from chalicelib.errors import NotFound
from chalicelib.web import etag
from chalicelib.web.http import Request, Response

_FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_KEEP_ATTRIBUTE = 'data-keep-s="300"'  # replaced in board.html by the setting BOARD_KEEP_S
_HEADERS = {
    # Only its own files and the API of its own origin; no inline scripts. CSP Level 3
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "Cache-Control": "no-cache",
}


def serve(name: str, request: Request) -> Response:
    """Return a file of the board, or 304 if the client has it. Raises NotFound."""
    files = _files()
    if name not in files:
        raise NotFound(f"the board has no file {name!r}")
    text, tag = files[name]
    headers = {
        **_HEADERS,
        "ETag": tag,
        "Content-Type": f"{TYPES[Path(name).suffix]}; charset=utf-8",
    }
    if etag.matches(request.headers.get("if-none-match"), tag):
        return Response(304, "", headers)
    return Response(200, text, headers)


@functools.cache
def _files() -> dict[str, tuple[str, str]]:
    """Return each file's text and ETag by its name. No other file can be requested."""
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in _FOLDER.iterdir()
        if path.suffix in TYPES
    }
    texts["board.html"] = texts["board.html"].replace(
        _KEEP_ATTRIBUTE, f'data-keep-s="{config.settings().board_keep_s}"'
    )
    return {
        name: (text, f'"{hashlib.sha256(text.encode()).hexdigest()[:20]}"')
        for name, text in texts.items()
    }
