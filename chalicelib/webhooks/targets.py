"""Decide where a delivery may go: which URLs, and which of the addresses that a name resolves to.

This is the guard against server-side request forgery:
https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from chalicelib import config

MAX_URL = 2000  # characters
LOCAL_HOST = "127.0.0.1"
_LOCAL_NAMES = (LOCAL_HOST, "localhost")
_HTTPS_PORT = 443
_VISIBLE = re.compile(r"[!-~]*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Resolvers read a name with such an end as an IPv4 address: https://url.spec.whatwg.org/#ends-in-a-number-checker
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_REFUSED_V4 = tuple(
    map(
        ipaddress.IPv4Network,
        ("192.0.0.0/24", "192.88.99.0/24"),  # protocol assignments; relays to 6to4
    )
)
# The only part of IPv6 that is given to public networks. NAT64 (64:ff9b::/96 and 64:ff9b:1::/48)
# lies outside of it: https://www.iana.org/assignments/ipv6-address-space
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
_REFUSED_V6 = tuple(
    map(
        ipaddress.IPv6Network,
        # protocol assignments with Teredo; documentation; 6to4, which embeds an IPv4 address
        ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)


@dataclass(frozen=True)
class Target:
    """Where a URL points."""

    host: str
    """Name of the host: for the DNS, the certificate and the header Host."""
    port: int
    """Port of TCP."""
    path: str
    """Path and query."""
    local: bool
    """True: a receiver on this machine, without TLS."""

    @property
    def netloc(self) -> str:
        """Value of the header Host."""
        return f"{self.host}:{self.port}" if self.local else self.host


def on_laptop() -> bool:
    """Return True if the cloud that we call runs on this machine, as under `make run`.

    The local cloud's functions can't be told from Lambda's by their name. But AWS is never behind a
    loopback address.
    """
    return urlsplit(config.aws().endpoint("dynamodb")).hostname in _LOCAL_NAMES


def parse(url: str, allow_local: bool) -> Target:
    """Return where a URL points. Raises ValueError, which says what is not allowed.

    `allow_local`: also allow http://127.0.0.1:PORT and http://localhost:PORT.
    """
    if len(url) > MAX_URL:
        raise ValueError(f"url: must have at most {MAX_URL} characters")
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        raise ValueError("url: must be ASCII without spaces, control characters and \\")
    parts = urlsplit(url)
    port = _port(parts)
    if "@" in parts.netloc:
        raise ValueError("url: must not have a user name or password")
    if "#" in url:
        raise ValueError("url: must not have a fragment")
    host = parts.hostname or ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if allow_local and parts.scheme == "http" and host in _LOCAL_NAMES:
        return Target(LOCAL_HOST, 80 if port is None else port, path, local=True)
    if parts.scheme != "https":
        also = ", or http://127.0.0.1:PORT" if allow_local else ""
        raise ValueError(f"url: must begin with https://{also}")
    _require_name(host)
    if port not in (None, _HTTPS_PORT):
        raise ValueError(f"url: the port must be {_HTTPS_PORT}")
    return Target(host, _HTTPS_PORT, path, local=False)


def is_public(address: str) -> bool:
    """Return True if a host of the public internet can have this address."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is None:
            refused = any(parsed in network for network in _REFUSED_V6)
            return parsed in _PUBLIC_V6 and parsed.is_global and not refused
        parsed = parsed.ipv4_mapped
    refused = any(parsed in network for network in _REFUSED_V4)
    return parsed.is_global and not parsed.is_multicast and not refused


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError:
        raise ValueError("url: the port must be a number") from None


def _require_name(host: str) -> None:
    """Raise ValueError unless the host is a name that only the DNS can resolve."""
    labels = host.split(".")
    if ":" in host or _NUMBER.fullmatch(labels[-1]):
        raise ValueError("url: must have the name of a host, not an IP address")
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"url: {host!r} is not the name of a host, such as shop.example")
