"""Process an email: who wrote what to whom and when, its text, and a list of its attachments."""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_right
from email.message import Message
from typing import Literal, TypedDict, TypeVar, cast

from chalicelib.tasks import task
from chalicelib.tasks.process_email.charsets import decode
from chalicelib.tasks.process_email.mail import (
    Address,
    addresses,
    content,
    date_of,
    html_text,
    line,
    parameter,
    parsed,
)

_KIB = 1024
_SENDERS = (
    "From",
    "Sender",
    "Resent-From",
)  # the first that a message has; RFC 5322 asks for the first
_TELLING = (*_SENDERS, "To", "Cc", "Subject", "Date", "Message-ID", "Received")
_MBOX_LINE = re.compile(rb"\A>?From (?![ \t]*:)[^\r\n]*[\r\n]+")


class NotAMessage(ValueError):
    """The text is no email; the sentence says what is wrong and how to mend it."""


class Attachment(TypedDict):
    """A file, an inline picture, a forwarded message. Its size is in decoded bytes.

    As mail programs show it, a text with a file name is listed here and read as part of the text, unless its
    disposition is `attachment`.
    """

    name: str | None
    type: str
    size: int


Email = TypedDict(
    "Email",
    {  # no class, since `from` is a keyword
        "from": list[Address],
        "to": list[Address],
        "cc": list[Address],
        "subject": str,
        "date": str | None,
        "text": str,
        "truncated": bool,
        "attachments": list[Attachment],
    },
)
_Cut = TypeVar("_Cut", str, list[Address], list[Attachment])


@task(no_retry_on=(NotAMessage,))
def process_email(message: str, encoding: Literal["text", "base64"] = "text") -> Email:
    """Read an email: sender, recipients, subject, date, text and a list of its attachments.

    `message` is the raw message, headers first (.eml). With `encoding` "base64" it is the base64 of the message's
    bytes, so that 8-bit text in charsets other than UTF-8 arrives intact. `truncated`: something was cut to its bound.
    """
    root = parsed(
        _octets(message, encoding).decode("latin-1")
    )  # from here on, a character is a byte
    if not any(name in root for name in _TELLING):
        raise NotAMessage(
            "The message must begin with header lines (`Name: value`), one of them "
            f"{', '.join(_TELLING)}: send an email's whole source, headers first."
        )
    senders = (addresses(root, header) for header in _SENDERS)
    email: Email = {
        "from": next(filter(None, senders), []),
        "to": addresses(root, "To"),
        "cc": addresses(root, "Cc"),
        "subject": line(root.get("Subject", "")),
        "date": date_of(root.get("Date", "")),
        "text": _text(root),
        "truncated": False,
        "attachments": [_attachment(part) for part in root.walk() if _is_attachment(part)],
    }
    # Some charsets, utf-7 for one, decode to lone surrogates: no UTF-8 can hold them.
    return _bounded(json.loads(json.dumps(email, ensure_ascii=False).encode("utf-8", "replace")))


def _octets(message: str, encoding: str) -> bytes:
    octets = message.encode("utf-8", "replace")
    if encoding == "base64":
        try:
            octets = base64.b64decode(b"".join(octets.split()), validate=True)
        except binascii.Error:
            raise NotAMessage(
                'The message is no base64: encode its bytes, or set `encoding` to "text".'
            ) from None
    if not octets.strip():
        raise NotAMessage("The message is empty: send an email's whole source, headers first.")
    return _MBOX_LINE.sub(b"", octets.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n"))


def _name(part: Message) -> str:
    return line(
        parameter(part, "Content-Disposition", "filename")
        or parameter(part, "Content-Type", "name")
    )[:255]


def _is_text(part: Message) -> bool:
    return (
        part.get_content_type() in ("text/plain", "text/html")
        and part.get_content_disposition() != "attachment"
    )


def _is_attachment(part: Message) -> bool:
    return not part.is_multipart() and (not _is_text(part) or _name(part) != "")


def _attachment(part: Message) -> Attachment:
    return {
        "name": _name(part) or None,
        "type": part.get_content_type()[:255],
        "size": len(content(part)),
    }


def _text(entity: Message) -> str:
    if not entity.is_multipart():
        return _read(entity) if _is_text(entity) else ""
    parts = cast("list[Message]", entity.get_payload())
    if entity.get_content_subtype() != "alternative":
        return "\n\n".join(filter(None, map(_text, parts)))
    parts = sorted(parts, key=lambda part: part.get_content_type() != "text/plain")
    return next(filter(None, map(_text, parts)), "")


def _read(part: Message) -> str:
    octets, charset = content(part), parameter(part, "Content-Type", "charset")
    raw = not charset or octets == str(part.get_payload()).encode("latin-1")
    text = decode(octets, charset or "cp1252", raw)
    text = html_text(text) if part.get_content_subtype() == "html" else text
    return re.sub(r"\r\n?", "\n", text).rstrip().lstrip("\n")


def _bounded(email: Email) -> Email:
    """An email within 63 KiB of JSON, since a result over 64 is refused: the text gets what the rest leaves of them."""
    bounded: Email = {
        "from": _cut(email["from"], 100, 3 * _KIB),
        "to": _cut(email["to"], 100, 8 * _KIB),
        "cc": _cut(email["cc"], 100, 8 * _KIB),
        "subject": _cut(email["subject"], 998, 4 * _KIB),
        "date": email["date"],
        "text": "",
        "truncated": False,
        "attachments": _cut(email["attachments"], 100, 8 * _KIB),
    }
    bounded["text"] = _cut(email["text"], 32_768, min(40 * _KIB, 63 * _KIB - _size(bounded)))
    bounded["truncated"] = bounded != email
    return bounded


def _cut(value: _Cut, length: int, octets: int) -> _Cut:
    lengths = range(min(len(value), length) + 1)
    return value[: bisect_right(lengths, octets, key=lambda n: _size(value[:n])) - 1]


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
