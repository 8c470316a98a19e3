"""Mail as it is in the wild: RFC 5322 headers, RFC 2045-2047 bodies and encoded words, RFC 2231 parameters.

What can be read is read; nothing here raises for any text. `policy.default` raises on malformed headers and takes 40 s
over 60 KB of quote marks; so this reads as compat32 does, and splits addresses itself, in linear time.
"""

from __future__ import annotations

import binascii
import re
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
from typing import TypedDict

_DEEPEST = 20  # multiparts in multiparts; real mail has five
# Charsets that mailers name when they mean a wider one: https://encoding.spec.whatwg.org/#names-and-labels
_MEANT = {"iso-8859-1": "cp1252", "gb2312": "gb18030", "shift_jis": "cp932", "ks_c_5601-1987": "cp949"}
# Repeats stop at 998, RFC 5322's longest line: a thousand words or quotes never closed would take quadratic time.
_WORD = r"=\?[^?\s]{1,998}\?[bBqQ]\?(?:[^?]|\?(?!=)){0,998}\?="
_WORDS = re.compile(rf"{_WORD}(?:\s{{1,998}}{_WORD})*")
_MAILBOX = re.compile(r'(?:"(?:\\.|[^"\\]){0,998}"|\([^()]{0,998}\)|<[^<>]{0,998}>|[^,;])+', re.DOTALL)
_BREAKS = {"br": "\n\n", "td": " ", **dict.fromkeys(("div", "tr", "li"), "\n"),
           **dict.fromkeys(("p", "h1", "h2", "h3", "table", "ul", "ol", "blockquote"), "\n\n\n")}


class Address(TypedDict):
    """A mailbox; of the two, one may be empty."""

    name: str
    address: str


class _Headers(Compat32):
    """Raw 8-bit headers are read (RFC 6532), where compat32 blanks them."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        return decoded(value.encode("latin-1"), "cp1252", raw=True)


def parsed(source: str, depth: int = 0) -> Message:
    """A message or a part of one. Enclosed messages stay unparsed: they are attachments."""
    entity = HeaderParser(policy=_Headers()).parsestr(source)
    if entity.get_content_maintype() != "multipart":
        return entity
    boundary = parameter(entity, "Content-Type", "boundary")
    delimiter = rf"(?:\r\n|\n|\r|(?<![^\r\n]))--{re.escape(boundary)}(--)?[ \t]*(?:\r\n|\n|\r|\Z)"
    _, *pieces = re.split(delimiter, str(entity.get_payload()))
    if boundary and pieces and depth < _DEEPEST:
        pairs = zip(pieces[::2], pieces[1::2], strict=True)
        entity.set_payload([parsed(part, depth + 1) for end, part in pairs if not end])
    else:
        del entity["Content-Type"]  # plain text, as RFC 2045 5.2 has it
    return entity


def parameter(entity: Message, header: str, name: str) -> str:
    try:
        return collapse_rfc2231_value(entity.get_param(name, "", header)).strip()
    except (TypeError, ValueError):  # RFC 2231's charset, count or order is one that Python can't take
        return ""


def content(part: Message) -> bytes:
    octets = str(part.get_payload()).encode("latin-1")
    if part.get("Content-Transfer-Encoding", "").strip().lower() == "base64":
        digits = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
        return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")  # however it was cut
    try:
        return bytes(part.get_payload(decode=True))
    except ValueError:  # broken uuencode, on Python 3.10
        return octets


def decoded(octets: bytes, charset: str, raw: bool) -> str:
    """Text. `raw`: not encoded for transfer; what is valid UTF-8 then is UTF-8, whatever charset it claims."""
    codec = _MEANT.get(charset.lower(), charset)
    first, second = ("utf-8", codec) if raw and not octets.isascii() else (codec, "utf-8")
    for name, errors in ((first, "strict"), (second, "strict"), (codec, "replace")):
        try:
            return octets.decode(name, errors)
        except (LookupError, ValueError):
            continue
    return octets.decode("utf-8", "replace")


def _spoken(words: re.Match[str]) -> str:
    """A run of encoded words, decoded as one: mailers cut a character in two between them."""
    try:
        chunks = decode_header(words[0])
    except HeaderParseError:  # broken base64
        return words[0]
    return "".join(
        chunk if isinstance(chunk, str)  # no word to decode_header, which reads line by line
        else decoded(chunk, (charset or "").partition("*")[0], raw=False) for chunk, charset in chunks)


def line(value: str) -> str:
    return re.sub(r"[\r\n\t ]+", " ", _WORDS.sub(_spoken, value)).strip()


def addresses(message: Message, header: str) -> list[Address]:
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
    return {"name": line(re.sub(r'\\(.)|"', r"\1", name))[:255], "address": line(address)[:320]}


def date_of(value: str) -> str | None:
    try:
        moment = parsedate_to_datetime(value)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError):
        return None


class _Page(HTMLParser):
    text, unseen = "", False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.unseen = tag in ("script", "style", "title")
        self.text += _BREAKS.get(tag, "")

    def handle_endtag(self, tag: str) -> None:
        self.unseen = False
        self.text += "" if tag == "br" else _BREAKS.get(tag, "")  # <br/> is two tags to HTMLParser, and one break

    def handle_data(self, data: str) -> None:
        self.text += "" if self.unseen else re.sub(r"\s+", " ", data)


def html_text(html: str) -> str:
    page = _Page()
    tags, closing, tail = html.rpartition(">")  # in a tail HTMLParser looks for the end of each `<` anew, for 36 s
    try:
        page.feed(tags + closing)
        page.close()
    except AssertionError:  # how HTMLParser refuses a broken `<![`; what came before it is read
        pass
    page.handle_data(unescape(tail))
    gaps = re.compile(r" ?\n[ \n]*")
    return gaps.sub(lambda gap: "\n\n" if gap[0].count("\n") > 2 else "\n", re.sub(" +", " ", page.text)).strip()
