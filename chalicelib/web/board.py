"""The board: a static page and its files, which need no token.

The page reads the orders from the API, with a token that its user enters.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

from chalicelib import config, files
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
# Only its own files, the API of its own origin and the bucket's pictures; no inline scripts. CSP 3
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data: {bucket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def serve(name: str, request: Request) -> Response:
    """Return a file of the board, or 304 if the client has it. Raises NotFound."""
    if name not in _files():
        raise NotFound(f"the board has no file {name!r}")
    text, tag = _files()[name]
    headers = {
        "Content-Security-Policy": _POLICY.format(bucket=files.url_prefix()),
        "Cache-Control": "no-cache",
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
