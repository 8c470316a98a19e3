"""Mail as it is in the wild: RFC 5322 headers, RFC 2045-2047 bodies and encoded words, RFC 2231 parameters.

Read what can be read, in linear time, and never fail. Python's `policy.default` reads these headers in quadratic time,
ends in a RecursionError at nested comments, and loses addresses; so this reads them itself.
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
from email.utils import parsedate_to_datetime
from html import unescape
from html.parser import HTMLParser
from io import StringIO
from typing import TypedDict

from chalicelib.tasks.process_email.charsets import decode

MAX_MIME_HEADER = 4096  # characters: Python reads a header's parameters in quadratic time. A long file name takes 3000
_DEEPEST = 20  # multiparts in multiparts; real mail has five
_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:")
# Repeats stop at 998, RFC 5322's longest line: a thousand words never closed would take quadratic time.
_WORD = r"=\?[^?\s]{1,998}\?[bBqQ]\?(?:[^?]|\?(?!=)){0,998}\?="
_WORDS = re.compile(rf"{_WORD}(?:\s{{1,998}}{_WORD})*")
_QUOTED = r'"(?:\\.|[^"\\])*"'
_COMMENT = r"\((?:\\.|[^()\\])*\)"
for _ in range(3):  # comments in comments; a regular expression can't count, so four deep
    _COMMENT = rf"\((?:\\.|[^()\\]|{_COMMENT})*\)"
_COMMENTS = re.compile(rf"({_QUOTED}|\\.)|{_COMMENT}", re.DOTALL)
_GAPS = re.compile(rf"({_QUOTED}|\\.)| (?=[.@])|(?<=[.@]) ", re.DOTALL)
_TOKENS = re.compile(rf'{_QUOTED}|{_COMMENT}|<[^<>]*>|\[[^][]*\]|\\.|[^"(<\[\\,;:]+|.', re.DOTALL)
_BREAKS = {
    "br": "\n\n",
    "td": " ",
    **dict.fromkeys(("div", "tr", "li"), "\n"),
    **dict.fromkeys(("p", "h1", "h2", "h3", "table", "ul", "ol", "blockquote"), "\n\n\n"),
}


class Address(TypedDict):
    """A mailbox; of the two, one may be empty."""

    name: str
    address: str


class _Headers(Compat32):
    """Read raw 8-bit headers (RFC 6532), which compat32 blanks, and cut the ones that have parameters."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        text = decode(value.encode("latin-1"), "cp1252", raw=True)
        return text[:MAX_MIME_HEADER] if name.lower().startswith("content-") else text


def parsed(source: str, depth: int = 0) -> Message:
    """Parse a message, or a part of one. Enclosed messages stay unparsed: they are attachments."""
    entity = HeaderParser(policy=_Headers()).parsestr(_repaired(source))
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


def _repaired(source: str) -> str:
    """Rewrite the headers so that HeaderParser, which stops at the first line that it doesn't know, reads them all.

    As in other mail readers a space may precede the colon (RFC 5322, A.6.3), a stray line between two headers is
    skipped, and a boundary ends the headers.
    """
    lines = StringIO(source, newline="")
    headers: list[str] = []
    strays: list[str] = []  # the start of the body, unless another header follows
    for line in lines:
        if _FIELD.match(line):
            headers.append(_FIELD.sub(r"\1:", line, count=1))
            strays = []
        elif headers and not strays and line[0] in " \t":
            headers.append(line)
        else:
            strays.append(line)
            if not headers or line[0] in "\r\n" or line.startswith("--"):
                break
    body = strays[1:] if strays and strays[0][0] in "\r\n" else strays
    return "".join([*headers, "\n", *body, lines.read()])


def parameter(entity: Message, header: str, name: str) -> str:
    try:
        value = entity.get_param(name, "", header)
    except (TypeError, ValueError):  # RFC 2231's count or order is one that Python can't take
        return ""
    if isinstance(value, tuple):
        charset, _, text = value
        value = decode(text.encode("raw-unicode-escape"), charset or "", raw=False)
    return value.strip()


def content(part: Message) -> bytes:
    octets = str(part.get_payload()).encode("latin-1")
    if part.get("Content-Transfer-Encoding", "").strip().lower() == "base64":
        digits = re.sub(rb"[^A-Za-z0-9+/]", b"", octets)
        return binascii.a2b_base64(
            digits[: len(digits) - (len(digits) % 4 == 1)] + b"=="
        )  # however it was cut
    try:
        return bytes(part.get_payload(decode=True))
    except ValueError:  # broken uuencode, on Python 3.10
        return octets


def _spoken(words: re.Match[str]) -> str:
    """A run of encoded words, decoded as one: mailers cut a character in two between them."""
    try:
        chunks = decode_header(words[0])
    except HeaderParseError:  # broken base64
        return words[0]
    return "".join(
        chunk
        if isinstance(chunk, str)  # no word to decode_header, which reads line by line
        else decode(chunk, (charset or "").partition("*")[0], raw=False)
        for chunk, charset in chunks
    )


def line(value: str) -> str:
    return re.sub(r"[\r\n\t ]+", " ", _WORDS.sub(_spoken, value)).strip()


def addresses(message: Message, header: str) -> list[Address]:
    # Each run of words becomes one base64 word first, so that a comma or a quote within divides nothing.
    value = _WORDS.sub(
        lambda words: header_encode(_spoken(words).encode("utf-8", "replace"), "utf-8"),
        ", ".join(message.get_all(header, [])),
    )
    found: list[Address] = []
    tokens: list[str] = []
    for token in [*_TOKENS.findall(value), ","]:
        if token in (",", ";"):
            found += [_address(tokens)] if tokens else []
            tokens = []
        elif token == ":":
            tokens = []  # the name of a group
        else:
            tokens.append(token)
    return [address for address in found if any(address.values())]


def _address(tokens: list[str]) -> Address:
    comments = [token[1:-1] for token in tokens if _is_enclosed(token, "(")]
    angled = [number for number, token in enumerate(tokens) if _is_enclosed(token, "<")]
    if angled:
        name = "".join(tokens[: angled[-1]])
        address = tokens[angled[-1]][1:-1]
    else:
        name = ""
        address = "".join(token for token in tokens if not _is_enclosed(token, "("))
        if "@" not in address and " " in address.strip():
            name, address = address, ""
    address = _GAPS.sub(r"\1", line(_COMMENTS.sub(r"\1 ", address)))
    if address and not name.strip():
        name = " ".join(comments)
    address = re.sub(r"^@[^:]*:", "", address)  # a route, RFC 5322 4.4
    return {"name": line(re.sub(r'\\(.)|"', r"\1", name))[:255], "address": address[:320]}


def _is_enclosed(token: str, opening: str) -> bool:
    return token.startswith(opening) and len(token) > 1


def date_of(value: str) -> str | None:
    text = re.sub(" ?: ?", ":", line(_COMMENTS.sub(" ", value)))
    try:
        moment = parsedate_to_datetime(text)
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
        self.text += (
            "" if tag == "br" else _BREAKS.get(tag, "")
        )  # <br/> is two tags to HTMLParser, and one break

    def handle_data(self, data: str) -> None:
        self.text += "" if self.unseen else re.sub(r"\s+", " ", data)


def html_text(html: str) -> str:
    page = _Page()
    tags, closing, tail = html.rpartition(
        ">"
    )  # in a tail HTMLParser looks for the end of each `<` anew, for 36 s
    try:
        page.feed(tags + closing)
        page.close()
    except AssertionError:  # how HTMLParser refuses a broken `<![`; what came before it is read
        pass
    page.handle_data(unescape(tail))
    gaps = re.compile(r" ?\n[ \n]*")
    return gaps.sub(
        lambda gap: "\n\n" if gap[0].count("\n") > 2 else "\n", re.sub(" +", " ", page.text)
    ).strip()
