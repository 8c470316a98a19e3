"""The files of a static page: HTML, CSS, JavaScript and pictures, served with ETags, no token."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from chalicelib import files
from chalicelib.errors import NotFound
from chalicelib.web import etag
from chalicelib.web.http import Request, Response
from chalicelib.web.operations import Answer

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Only its own files, the API of its own origin and the bucket's pictures; no inline scripts. CSP 3
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self' data: {bucket}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_NOT_MODIFIED = Answer("Not modified", headers=("ETag",))
PAGE_ANSWERS = {
    200: Answer("The page", headers=("ETag",), text_types=("text/html",)),
    304: _NOT_MODIFIED,
}
FILE_ANSWERS = {
    200: Answer("The file", headers=("ETag",), text_types=tuple(TYPES.values())),
    304: _NOT_MODIFIED,
}
StaticFiles = dict[str, tuple[str, str]]  # name -> (text, ETag)


def load(folder: Path, replacements: Mapping[str, str] | None = None) -> StaticFiles:
    """Return the text and the ETag of each file in a folder. No other file can be requested.

    `replacements`: texts to replace in the files, and what stands in their place.
    """
    texts = {
        path.name: path.read_text(encoding="utf-8")
        for path in folder.iterdir()
        if path.suffix in TYPES
    }
    for old, new in (replacements or {}).items():
        texts = {name: text.replace(old, new) for name, text in texts.items()}
    return {
        name: (text, f'"{hashlib.sha256(text.encode()).hexdigest()[:20]}"')
        for name, text in texts.items()
    }


def serve(known: StaticFiles, name: str, request: Request) -> Response:
    """Return a file, or 304 if the client has it. Raises NotFound."""
    if name not in known:
        raise NotFound(f"the page has no file {name!r}")
    text, tag = known[name]
    headers = {
        "Content-Security-Policy": _POLICY.format(bucket=files.url_prefix()),
        "Cache-Control": "no-cache",
        "ETag": tag,
        "Content-Type": f"{TYPES[Path(name).suffix]}; charset=utf-8",
    }
    if etag.matches(request.headers.get("if-none-match"), tag):
        return Response(304, "", headers)
    return Response(200, text, headers)
