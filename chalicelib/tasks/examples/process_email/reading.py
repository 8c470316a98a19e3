"""Read an email: find its text and its attachments, and cut them to their limits."""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_right
from email.message import Message
from itertools import islice
from typing import TypeVar, cast

from msgspec import to_builtins

from chalicelib.tasks import File
from chalicelib.tasks.examples.process_email import Address, Email, NotAMessage
from chalicelib.tasks.examples.process_email.charsets import decode
from chalicelib.tasks.examples.process_email.mail import (
    addresses,
    content,
    date_of,
    html_text,
    line,
    parameter,
)
from chalicelib.tasks.examples.process_email.parts import Parser

_KIB = 1024
MAX_TEXT = 512 * _KIB  # bytes that are read for the text, whose HTML may hold 16 times its length
MAX_ATTACHMENTS = 100
# The first one that a message has is used; RFC 5322 requires From
_SENDERS = ("From", "Sender", "Resent-From")
_KNOWN_HEADERS = (*_SENDERS, "To", "Cc", "Subject", "Date", "Message-ID", "Received")
_MBOX_LINE = re.compile(rb"\A>?From (?![ \t]*:)[^\r\n]*[\r\n]+")
_Cut = TypeVar("_Cut", str, list[Address], list[File])


def read(message: File | str, encoding: str) -> Email:
    """Return what `process_email` does."""
    # From here on, each character stands for a byte
    parser = Parser(_octets(message, encoding).decode("latin-1"))
    root = parser.parsed()
    if not any(name in root for name in _KNOWN_HEADERS):
        raise NotAMessage(
            "The message must begin with header lines (`Name: value`), one of them "
            f"{', '.join(_KNOWN_HEADERS)}: send an email's whole source, headers first."
        )
    cut = parser.cut
    del parser  # and the message's source, which its parts hold too
    return _email(root, cut)


def _email(root: Message, cut: bool) -> Email:
    """Return a parsed message as a result; `cut` is True if it is incomplete already."""
    senders = (addresses(root, header) for header in _SENDERS)
    text = _Text()
    email: Email = {
        "from": next(filter(None, senders), []),
        "to": addresses(root, "To"),
        "cc": addresses(root, "Cc"),
        "subject": line(root.get("Subject", "")),
        "date": date_of(root.get("Date", "")),
        "text": text.of(root),
        "truncated": False,
        "attachments": [],
    }
    # Some charsets, such as utf-7, decode to lone surrogates, which UTF-8 can't encode
    email = json.loads(json.dumps(email, ensure_ascii=False).encode("utf-8", "replace"))
    parts = filter(_is_attachment, root.walk())
    email["attachments"] = [_attachment(part) for part in islice(parts, MAX_ATTACHMENTS)]
    more = next(parts, None) is not None
    return _bounded(email, cut or text.cut or more)


def _octets(message: File | str, encoding: str) -> bytes:
    octets = message.encode("utf-8", "replace") if isinstance(message, str) else message.read()
    if isinstance(message, str) and encoding == "base64":
        try:
            octets = base64.b64decode(b"".join(octets.split()), validate=True)
        except binascii.Error:
            raise NotAMessage(
                'The message is not valid base64: encode its bytes, or set `encoding` to "text".'
            ) from None
    if not octets.strip():
        raise NotAMessage("The message is empty: send an email's whole source, headers first.")
    return _MBOX_LINE.sub(b"", octets.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"))


def _name(part: Message) -> str:
    name = line(
        parameter(part, "Content-Disposition", "filename")
        or parameter(part, "Content-Type", "name")
    )
    return name[:255].encode("utf-8", "replace").decode()


def _is_text(part: Message) -> bool:
    return (
        part.get_content_type() in ("text/plain", "text/html")
        and part.get_content_disposition() != "attachment"
    )


def _is_attachment(part: Message) -> bool:
    return not part.is_multipart() and (not _is_text(part) or _name(part) != "")


def _attachment(part: Message) -> File:
    octets = content(part)
    part.set_payload("")  # so that the message is not held twice
    try:
        return File.of(octets, _name(part), part.get_content_type())
    except ValueError:  # not a media type
        return File.of(octets, _name(part))


class _Text:
    """Reads the texts of a message. `cut` is True once MAX_TEXT left out some of them."""

    def __init__(self) -> None:
        self.cut = False
        self._left = MAX_TEXT

    def of(self, entity: Message) -> str:
        """Return the text of a part and of the parts in it."""
        if not entity.is_multipart():
            return self._read(entity) if _is_text(entity) else ""
        parts = cast("list[Message]", entity.get_payload())
        if entity.get_content_subtype() != "alternative":
            return "\n\n".join(filter(None, map(self.of, parts)))
        parts = sorted(parts, key=lambda part: part.get_content_type() != "text/plain")
        return next(filter(None, map(self.of, parts)), "")

    def _read(self, part: Message) -> str:
        octets = content(part)
        charset = parameter(part, "Content-Type", "charset")
        raw = not charset or octets == str(part.get_payload()).encode("latin-1")
        if len(octets) > self._left:
            self.cut = True
            octets = _whole_characters(octets, self._left)
        self._left -= len(octets)
        text = decode(octets, charset or "cp1252", raw)
        text = html_text(text) if part.get_content_subtype() == "html" else text
        return re.sub(r"\r\n?", "\n", text).rstrip().lstrip("\n")


def _whole_characters(octets: bytes, size: int) -> bytes:
    """Return the first bytes, at most `size`, without a part of a character in UTF-8."""
    end = size
    while size - end < 4 and end and octets[end] & 0xC0 == 0x80:  # not the first of a character
        end -= 1
    return octets[:end]


def _bounded(email: Email, cut: bool) -> Email:
    """Cut an email to 63 KiB of JSON, far below the limit of a result.

    A sender must not decide how much every reader of the order has to load. The text is cut last,
    to the size that the other fields leave. `cut` is True if the email is incomplete already.
    """
    bounded: Email = {
        "from": _cut(email["from"], 100, 3 * _KIB),
        "to": _cut(email["to"], 100, 8 * _KIB),
        "cc": _cut(email["cc"], 100, 8 * _KIB),
        "subject": _cut(email["subject"], 998, 4 * _KIB),
        "date": email["date"],
        "text": "",
        "truncated": False,
        "attachments": _cut(email["attachments"], MAX_ATTACHMENTS, 16 * _KIB),
    }
    bounded["text"] = _cut(email["text"], 32_768, min(40 * _KIB, 63 * _KIB - _size(bounded)))
    bounded["truncated"] = cut or bounded != email
    return bounded


def _cut(value: _Cut, length: int, octets: int) -> _Cut:
    lengths = range(min(len(value), length) + 1)
    return value[: bisect_right(lengths, octets, key=lambda n: _size(value[:n])) - 1]


def _size(value: object) -> int:
    return len(json.dumps(to_builtins(value), ensure_ascii=False).encode())
