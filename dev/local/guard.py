"""Refuse requests that come from a web page of another origin.

Any page that a developer opens can send requests to 127.0.0.1, and can read the responses once its
own name was rebound to that address (DNS rebinding). The browser names such a page in Origin or
Sec-Fetch-Site, and the rebound name in Host.

The board is such a page too: it shows pictures of the files' bucket, and saves files from there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, urlsplit

OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]")
# Path and query of the download that chalicelib.files.download signs. Exactly these: ministack
# routes by other parameters and paths, and checks no signature of another algorithm
_FILE = re.compile(r"/[a-z0-9-]+-files[a-z0-9-]*/[^/]+/[0-9a-f]{64}")
_SIGNED = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
    "response-content-disposition",
    "response-content-type",
]
_PORT = re.compile(r":\d*\Z")


def foreign_host(host: str, own_hosts: Collection[str] = OWN_HOSTS) -> str | None:
    """Return why a request with this Host is refused, or None if it is meant for this server."""
    if _PORT.sub("", host.strip().lower()) in own_hosts:
        return None
    return f"The Host {host[:100]!r} is not one of this server's: {', '.join(own_hosts)}."


def foreign_request(
    headers: Mapping[str, str], method: str = "", path: str = "", query: str = ""
) -> str | None:
    """Return why a request is refused, or None if no other page sent it or any page may.

    Args:
        headers: by their names in lower case
        method: such as GET
        path: without the percent-encoding
        query: as sent
    """
    host = headers.get("host", "")
    if reason := foreign_host(host):
        return reason
    origin = headers.get("origin")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return (
            f"The Origin {origin[:100]!r} is not this server's:"
            " pages of other origins can't call the local cloud."
        )
    site = headers.get("sec-fetch-site", "none")
    if site not in ("none", "same-origin") and not _is_signed_download(method, path, query):
        return f"Sec-Fetch-Site {site[:100]!r}: pages of other origins can't call the local cloud."
    return None


def _is_signed_download(method: str, path: str, query: str) -> bool:
    """Return True for a presigned URL that saves a file; ministack checks its signature.

    The signature alone does not protect, since the local cloud's keys are public. But a page can't
    read the bytes of another origin, and an attachment is never opened as a page of this one.
    """
    pairs = parse_qsl(query, keep_blank_values=True)
    parameters = dict(pairs)
    return (
        method in ("GET", "HEAD")
        and _FILE.fullmatch(path) is not None
        and sorted(name for name, _ in pairs) == _SIGNED
        and parameters["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
        and parameters["X-Amz-Signature"] != ""
        and parameters["response-content-disposition"].startswith("attachment;")
    )


def host_of(url: str) -> tuple[str, ...]:
    """Return a URL's host as in a Host header, without the port; nothing for an empty URL."""
    host = _PORT.sub("", urlsplit(url).netloc.rpartition("@")[2].lower())
    return (host,) if host else ()
