"""Read the headers and contents of real-world mail: RFC 5322, RFC 2045-2047 and RFC 2231.

Reading takes linear time and never fails; what can't be read is skipped. Python's
`policy.default` parses these headers in quadratic time, raises a RecursionError at nested comments
and loses addresses, so it is not used.
"""

from __future__ import annotations

import binascii
import re
import string
from datetime import timezone
from email.base64mime import header_encode
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.utils import parsedate_to_datetime
from html import unescape
from html.parser import HTMLParser

from chalicelib.tasks.examples.process_email import Address
from chalicelib.tasks.examples.process_email.charsets import decode

_BASE64 = string.ascii_letters + string.digits + "+/"
_NOT_BASE64 = bytes({*range(256)} - {*_BASE64.encode()})
# Repeats end at 998, RFC 5322's longest line: many unclosed words would take quadratic time
_WORD = r"=\?[^?\s]{1,998}\?[bBqQ]\?(?:[^?]|\?(?!=)){0,998}\?="
_WORDS = re.compile(rf"{_WORD}(?:\s{{1,998}}{_WORD})*")
_QUOTED = r'"(?:\\.|[^"\\])*"'
_COMMENT = r"\((?:\\.|[^()\\])*\)"
for _ in range(3):  # nested comments; a regular expression can't count, so at most four levels
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


def parameter(entity: Message, header: str, name: str) -> str:
    """Return a header's parameter, or "" if it is missing or invalid."""
    try:
        value = entity.get_param(name, "", header)
    except (TypeError, ValueError):  # an RFC 2231 count or order that Python can't parse
        return ""
    if isinstance(value, tuple):
        charset, _, text = value
        value = decode(text.encode("raw-unicode-escape"), charset or "", raw=False)
    return value.strip()


def content(part: Message) -> bytes:
    """Return a part's decoded bytes, as far as its transfer encoding can be decoded."""
    octets = str(part.get_payload()).encode("latin-1")
    if part.get("Content-Transfer-Encoding", "").strip().lower() == "base64":
        digits = octets.translate(None, _NOT_BASE64)
        del octets  # it may have 30 MB
        # The digits may be cut off anywhere; a single one left over holds no byte
        return binascii.a2b_base64(digits[: len(digits) - (len(digits) % 4 == 1)] + b"==")
    try:
        return bytes(part.get_payload(decode=True))
    except ValueError:  # broken uuencode, on Python 3.10
        return octets


def _decode_words(words: re.Match[str]) -> str:
    """Decode adjacent encoded words as one, since mailers may split a character between them."""
    try:
        chunks = decode_header(words[0])
    except HeaderParseError:  # broken base64
        return words[0]
    return "".join(
        chunk
        if isinstance(chunk, str)  # not an encoded word to decode_header, which reads line by line
        else decode(chunk, (charset or "").partition("*")[0], raw=False)
        for chunk, charset in chunks
    )


def line(value: str) -> str:
    """Return a header's value with its words decoded, on one line."""
    return re.sub(r"[\r\n\t ]+", " ", _WORDS.sub(_decode_words, value)).strip()


def addresses(message: Message, header: str) -> list[Address]:
    """Return all mailboxes of a header such as To."""
    # First join adjacent words to one base64 word, so that commas and quotes in it don't delimit
    value = _WORDS.sub(
        lambda words: header_encode(_decode_words(words).encode("utf-8", "replace"), "utf-8"),
        ", ".join(message.get_all(header, [])),
    )
    found: list[Address] = []
    tokens: list[str] = []
    for token in [*_TOKENS.findall(value), ","]:
        if token in (",", ";"):
            found += [_address(tokens)] if tokens else []
            tokens = []
        elif token == ":":
            tokens = []  # what came before is the name of a group
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
    """Return a Date header as ISO 8601 in UTC, or None if it can't be parsed."""
    text = re.sub(" ?: ?", ":", line(_COMMENTS.sub(" ", value)))
    try:
        moment = parsedate_to_datetime(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError):
        return None


class _Page(HTMLParser):
    """Collects the visible text of an HTML page, in pieces."""

    hidden = False

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.hidden = tag in ("script", "style", "title")
        self.pieces.append(_BREAKS.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self.hidden = False
        if tag != "br":  # HTMLParser reports <br/> as two tags, but it is one break
            self.pieces.append(_BREAKS.get(tag, ""))

    def handle_data(self, data: str) -> None:
        self.pieces.append("" if self.hidden else re.sub(r"\s+", " ", data))


def _without_comments(html: str) -> str:
    """Return the page without comments, each of which takes HTMLParser linear time to skip.

    As in browsers, one that is not closed hides the rest.
    """
    pieces: list[str] = []
    end = 0
    while (start := html.find("<!--", end)) >= 0:
        pieces.append(html[end:start])
        end = html.find("-->", start + 2) + 3
        if end == 2:  # not found
            return "".join(pieces)
    return "".join([*pieces, html[end:]])


def html_text(html: str) -> str:
    """Return the visible text of an HTML document."""
    page = _Page()
    html = _without_comments(html)
    # After the last `>` HTMLParser would search for the end of each `<`, in quadratic time
    tags, closing, tail = html.rpartition(">")
    try:
        page.feed(tags + closing)
        page.close()
    except AssertionError:  # HTMLParser's error for a broken `<![`; the text before it was read
        pass
    page.handle_data(unescape(tail))
    gaps = re.compile(r" ?\n[ \n]*")
    return gaps.sub(
        lambda gap: "\n\n" if gap[0].count("\n") > 2 else "\n",
        re.sub(" +", " ", "".join(page.pieces)),
    ).strip()
