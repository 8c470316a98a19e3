"""Refuse requests that come from a web page of another origin.

Any page that a developer opens can send requests to 127.0.0.1, and can read the responses once its
own name was rebound to that address (DNS rebinding). The browser names such a page in Origin or
Sec-Fetch-Site, and the rebound name in Host.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

OWN_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_PORT = re.compile(r":\d*\Z")


def foreign_host(host: str, own_hosts: Collection[str] = OWN_HOSTS) -> str | None:
    """Return why a request with this Host is refused, or None if it is meant for this server."""
    if _PORT.sub("", host.strip().lower()) in own_hosts:
        return None
    return f"The Host {host[:100]!r} is not one of this server's: {', '.join(own_hosts)}."


def foreign_request(headers: Mapping[str, str]) -> str | None:
    """Return why a request with these headers is refused, or None if no other page sent it.

    The headers' names are in lower case.
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
    if site not in ("none", "same-origin"):
        return f"Sec-Fetch-Site {site[:100]!r}: pages of other origins can't call the local cloud."
    return None


def host_of(url: str) -> tuple[str, ...]:
    """Return a URL's host as in a Host header, without the port; nothing for an empty URL."""
    host = _PORT.sub("", urlsplit(url).netloc.rpartition("@")[2].lower())
    return (host,) if host else ()
