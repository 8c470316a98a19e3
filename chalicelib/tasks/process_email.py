"""Process an email: who wrote what to whom and when, its text, and a list of its attachments.

Reads RFC 5322 headers, RFC 2045-2047 bodies and encoded words, and RFC 2231 parameters, as mail in the wild has them:
what can be read is read; only what is no email fails. `policy.default` raises on malformed headers and takes 40 s over
60 KB of quote marks; so this reads as compat32 does, and splits addresses itself, in linear time.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_right
from datetime import timezone
from email.base64mime import header_encode
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import HeaderParser
from email.policy import Compat32
from email.utils import collapse_rfc2231_value, parsedate_to_datetime
from html import unescape
from html.parser import HTMLParser
from typing import Literal, TypedDict, TypeVar

from chalicelib.tasks import task


class Address(TypedDict):
    name: str
    address: str
class Attachment(TypedDict):
    name: str | None
    type: str
    size: int
Email = TypedDict("Email", {  # no class, since `from` is a keyword
    "from": list[Address], "to": list[Address], "cc": list[Address], "subject": str, "date": str | None,
    "text": str, "truncated": bool, "attachments": list[Attachment]})
_Cut = TypeVar("_Cut", str, list[Address], list[Attachment])

_KIB = 1024
_DEEPEST = 20  # multiparts in multiparts; real mail has five
_TELLING = ("From", "To", "Subject", "Date", "Message-ID", "Received")
_MEANT = {"iso-8859-1": "cp1252", "gb2312": "gb18030", "shift_jis": "cp932", "ks_c_5601-1987": "cp949"}
# Repeats stop at 998, RFC 5322's longest line: a thousand words or quotes never closed would take quadratic time.
_WORD = r"=\?[^?\s]{1,998}\?[bBqQ]\?(?:[^?]|\?(?!=)){0,998}\?="
_WORDS = re.compile(rf"{_WORD}(?:\s{{1,998}}{_WORD})*")
_MAILBOX = re.compile(r'(?:"(?:\\.|[^"\\]){0,998}"|\([^()]{0,998}\)|<[^<>]{0,998}>|[^,;])+', re.DOTALL)
_BREAKS = {"br": "\n\n", "td": " ", **dict.fromkeys(("div", "tr", "li"), "\n"),
           **dict.fromkeys(("p", "h1", "h2", "h3", "table", "ul", "ol", "blockquote"), "\n\n\n")}


class NotAMessage(ValueError):
    """The text is no email; the sentence says what is wrong and how to mend it."""


@task(no_retry_on=(NotAMessage,))
def process_email(message: str, encoding: Literal["text", "base64"] = "text") -> Email:
    """Read an email: sender, recipients, subject, date, text and a list of its attachments.

    `message` is the raw message, headers first (.eml). With `encoding` "base64" it is the base64 of the message's
    bytes, so that 8-bit text in charsets other than UTF-8 arrives intact. `truncated`: something was cut to its bound.
    """
    root = _entity(_octets(message, encoding).decode("latin-1"))  # one character is one byte from here on
    if not any(name in root for name in _TELLING):
        raise NotAMessage("The message must begin with header lines (`Name: value`), one of them "
                          f"{', '.join(_TELLING)}: send an email's whole source, headers first.")
    email: Email = {
        "from": _addresses(root, "From"), "to": _addresses(root, "To"), "cc": _addresses(root, "Cc"),
        "subject": _line(root.get("Subject", "")), "date": _date(root.get("Date", "")), "text": _text(root),
        "truncated": False, "attachments": [_attachment(part) for part in root.walk() if _is_attachment(part)]}
    # Some charsets, utf-7 for one, decode to lone surrogates: no UTF-8 can hold them.
    return _bounded(json.loads(json.dumps(email, ensure_ascii=False).encode("utf-8", "replace")))


def _octets(message: str, encoding: str) -> bytes:
    octets = message.encode("utf-8", "replace")
    if encoding == "base64":
        try:
            octets = base64.b64decode(b"".join(octets.split()), validate=True)
        except binascii.Error:
            raise NotAMessage('The message is no base64: encode its bytes, or set `encoding` to "text".') from None
    if not octets.strip():
        raise NotAMessage("The message is empty: send an email's whole source, headers first.")
    return octets.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")


class _Headers(Compat32):
    """Raw 8-bit headers are read (RFC 6532), where compat32 blanks them."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return re.sub(r"[\r\n\0]", "", _decoded(value.encode("latin-1"), "cp1252", raw=True))


def _entity(source: str, depth: int = 0) -> Message:
    """A message or a part of one. Enclosed messages stay unparsed: they are attachments."""
    entity = HeaderParser(policy=_Headers()).parsestr(source)
    if entity.get_content_maintype() != "multipart":
        return entity
    boundary = _parameter(entity, "Content-Type", "boundary")
    delimiter = rf"(?:\r\n|\n|\r|(?<![^\r\n]))--{re.escape(boundary)}(--)?[ \t]*(?:\r\n|\n|\r|\Z)"
    _, *pieces = re.split(delimiter, str(entity.get_payload()))
    if boundary and pieces and depth < _DEEPEST:
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        entity.set_payload([_entity(part, depth + 1) for end, part in pairs if not end])
    else:
        del entity["Content-Type"]  # plain text, as RFC 2045 5.2 has it
    return entity


def _parameter(entity: Message, header: str, name: str) -> str:
    try:
        return collapse_rfc2231_value(entity.get_param(name, "", header)).strip()
    except ValueError:  # RFC 2231 in a charset or a count that Python refuses
        return ""


def _content(part: Message) -> bytes:
    octets = str(part.get_payload()).encode("latin-1")
    if part.get("Content-Transfer-Encoding", "").strip().lower() == "base64":
        digits = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
        return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")  # however it was cut
    try:
        return bytes(part.get_payload(decode=True))
    except ValueError:  # broken uuencode
        return octets


def _decoded(octets: bytes, charset: str, raw: bool) -> str:
    """`raw`, not encoded for transfer: what is UTF-8 then, is UTF-8, whatever its header says."""
    codec = _MEANT.get(charset.lower(), charset)
    first, second = ("utf-8", codec) if raw and not octets.isascii() else (codec, "utf-8")
    for name, errors in ((first, "strict"), (second, "strict"), (codec, "replace")):
        try:
            return octets.decode(name, errors)
        except (LookupError, ValueError):
            continue
    return octets.decode("utf-8", "replace")


def _spoken(words: re.Match[str]) -> str:
    """Encoded words, all that stand side by side: mailers cut characters in two between them."""
    try:
        chunks = decode_header(words[0])
    except (HeaderParseError, ValueError):  # broken base64
        return words[0]
    return "".join(_decoded(octets, (charset or "").partition("*")[0], raw=False) for octets, charset in chunks)


def _line(value: str) -> str:
    return re.sub(r"[\r\n\t ]+", " ", _WORDS.sub(_spoken, value)).strip()


def _addresses(message: Message, header: str) -> list[Address]:
    # Each run of words becomes one base64 word first, so that a comma or a quote within divides nothing.
    value = _WORDS.sub(lambda words: header_encode(_spoken(words).encode("utf-8", "replace"), "utf-8"),
                       ", ".join(message.get_all(header, [])))
    addresses = [_address(mailbox[0]) for mailbox in _MAILBOX.finditer(value)]
    return [address for address in addresses if any(address.values())]


def _address(mailbox: str) -> Address:
    name, address = "", re.sub(r'^[^"<(@:]*:', "", mailbox)  # without the name of a group
    if angled := re.match(r"(.*)<([^<>]*)>", address, re.DOTALL):
        name, address = angled.groups()
    elif commented := re.match(r"([^()]*)\((.*)\)", address, re.DOTALL):
        address, name = commented.groups()
    elif "@" not in address and " " in address.strip():
        name, address = address, ""
    return {"name": _line(re.sub(r'\\(.)|"', r"\1", name))[:255], "address": _line(address)[:320]}


def _date(value: str) -> str | None:
    try:
        moment = parsedate_to_datetime(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except (ArithmeticError, LookupError, TypeError, ValueError):  # each of them, for some text
        return None


def _name(part: Message) -> str:
    return _line(_parameter(part, "Content-Disposition", "filename") or _parameter(part, "Content-Type", "name"))[:255]


def _is_attachment(part: Message) -> bool:
    shown = part.get_content_type() in ("text/plain", "text/html") and part.get_content_disposition() != "attachment"
    return not part.is_multipart() and (not shown or _name(part) != "")


def _attachment(part: Message) -> Attachment:
    return {"name": _name(part) or None, "type": part.get_content_type()[:255], "size": len(_content(part))}


def _text(entity: Message) -> str:
    if not entity.is_multipart():
        return "" if _is_attachment(entity) else _read(entity)
    plain_first = sorted(entity.get_payload(), key=lambda part: part.get_content_type() != "text/plain")
    alternative = entity.get_content_subtype() == "alternative"
    texts = filter(None, map(_text, plain_first if alternative else entity.get_payload()))
    return next(texts, "") if alternative else "\n\n".join(texts)


def _read(part: Message) -> str:
    content, charset = _content(part), _parameter(part, "Content-Type", "charset")
    raw = not charset or content == str(part.get_payload()).encode("latin-1")
    text = _decoded(content, charset or "cp1252", raw)
    text = _html_text(text) if part.get_content_subtype() == "html" else text
    return re.sub(r"\r\n?", "\n", text).rstrip().lstrip("\n")


class _Page(HTMLParser):
    text, unseen = "", False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.unseen = tag in ("script", "style", "title")
        self.text += _BREAKS.get(tag, "")

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.handle_starttag(tag, attrs)  # and no more: <br/> breaks a line once

    def handle_endtag(self, tag: str) -> None:
        self.unseen = False
        self.text += _BREAKS.get(tag, "")

    def handle_data(self, data: str) -> None:
        self.text += "" if self.unseen else re.sub(r"\s+", " ", data)


def _html_text(html: str) -> str:
    page = _Page()
    tags, closing, tail = html.rpartition(">")  # in a tail HTMLParser looks for the end of each `<` anew, for 36 s
    try:
        page.feed(tags + closing)
        page.close()
    except AssertionError:  # how HTMLParser refuses a broken `<![`; what came before it is read
        pass
    page.handle_data(unescape(tail))
    gaps = re.compile(r" ?\n[ \n]*")
    return gaps.sub(lambda gap: "\n\n" if gap[0].count("\n") > 2 else "\n", re.sub(" +", " ", page.text))


def _bounded(email: Email) -> Email:
    """An email within 63 KiB of JSON, since a result over 64 is refused: the text gets what the rest leaves of them."""
    bounded: Email = {
        "from": _cut(email["from"], 100, 3 * _KIB), "to": _cut(email["to"], 100, 8 * _KIB),
        "cc": _cut(email["cc"], 100, 8 * _KIB), "subject": _cut(email["subject"], 998, 4 * _KIB),
        "date": email["date"], "text": "", "truncated": False,
        "attachments": _cut(email["attachments"], 100, 8 * _KIB)}
    bounded["text"] = _cut(email["text"], 32_768, min(40 * _KIB, 63 * _KIB - _size(bounded)))
    bounded["truncated"] = bounded != email
    return bounded


def _cut(value: _Cut, length: int, octets: int) -> _Cut:
    lengths = range(min(len(value), length) + 1)
    return value[: bisect_right(lengths, octets, key=lambda n: _size(value[:n])) - 1]


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())
