"""Process an email: sender, recipients, subject, date, text and a list of its attachments."""

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
# The first one that a message has is used; RFC 5322 requires From
_SENDERS = ("From", "Sender", "Resent-From")
_KNOWN_HEADERS = (*_SENDERS, "To", "Cc", "Subject", "Date", "Message-ID", "Received")
_MBOX_LINE = re.compile(rb"\A>?From (?![ \t]*:)[^\r\n]*[\r\n]+")


class NotAMessage(ValueError):
    """The text is not an email; the message says why and how to fix it."""


class Attachment(TypedDict):
    """A file, an inline picture or a forwarded message.

    `size` is in decoded bytes. As in mail programs, a text with a file name is both listed here and
    part of the email's text, unless its disposition is `attachment`.
    """

    name: str | None
    type: str
    size: int


Email = TypedDict(
    "Email",
    {  # not a class, since `from` is a keyword
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

    `message` is the raw message, headers first (.eml). With `encoding` "base64" it is the base64 of
    the message's bytes, so that 8-bit text in charsets other than UTF-8 arrives intact. `truncated`
    is true if something was cut to its limit.
    """
    # From here on, each character stands for a byte
    root = parsed(_octets(message, encoding).decode("latin-1"))
    if not any(name in root for name in _KNOWN_HEADERS):
        raise NotAMessage(
            "The message must begin with header lines (`Name: value`), one of them "
            f"{', '.join(_KNOWN_HEADERS)}: send an email's whole source, headers first."
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
    # Some charsets, such as utf-7, decode to lone surrogates, which UTF-8 can't encode
    return _bounded(json.loads(json.dumps(email, ensure_ascii=False).encode("utf-8", "replace")))


def _octets(message: str, encoding: str) -> bytes:
    octets = message.encode("utf-8", "replace")
    if encoding == "base64":
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
    octets = content(part)
    charset = parameter(part, "Content-Type", "charset")
    raw = not charset or octets == str(part.get_payload()).encode("latin-1")
    text = decode(octets, charset or "cp1252", raw)
    text = html_text(text) if part.get_content_subtype() == "html" else text
    return re.sub(r"\r\n?", "\n", text).rstrip().lstrip("\n")


def _bounded(email: Email) -> Email:
    """Cut an email to 63 KiB of JSON, since results over 64 KiB are rejected.

    The text is cut last, to the size that the other fields leave.
    """
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
