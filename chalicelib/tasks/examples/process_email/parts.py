"""Split a message into its parts: RFC 5322 headers and RFC 2045-2046 bodies, as mailers write them.

Splitting takes linear time and never fails. It finds the parts by their positions in the message,
so that their contents are copied once however deep they are nested.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import Message
from email.parser import HeaderParser
from email.policy import Compat32

from chalicelib.tasks.examples.process_email.charsets import decode
from chalicelib.tasks.examples.process_email.mail import parameter

# Characters. Python parses a header's parameters in quadratic time; a long file name takes 3000
MAX_MIME_HEADER = 4096
MAX_HEADERS = 256 * 1024  # characters, of all parts together; real mail has 20,000
MAX_PARTS = 1000  # each takes a millisecond and some kilobytes
_MAX_DEPTH = 20  # multiparts in multiparts; real mail has five
_FIELD = re.compile(r"([!-9;-~]+)[ \t]*:")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")


class _Headers(Compat32):
    """Decode raw 8-bit headers (RFC 6532), which compat32 blanks, and cut those with parameters."""

    def header_fetch_parse(self, name: str, value: str) -> str:
        text = decode(value.encode("latin-1"), "cp1252", raw=True)
        return text[:MAX_MIME_HEADER] if name.lower().startswith("content-") else text


class Parser:
    """A parser of one message. `cut` is True once a limit left out some of it."""

    def __init__(self, source: str) -> None:
        """Take a message, with a character for each of its bytes."""
        self.cut = False
        self._source = source
        self._headers_left = MAX_HEADERS
        self._parts_left = MAX_PARTS

    def parsed(self) -> Message:
        """Return the message. Messages enclosed in it stay unparsed: they are attachments."""
        return self._entity(0, len(self._source), 0)

    def _entity(self, start: int, end: int, depth: int) -> Message:
        """Parse the message or the part between two positions."""
        headers, body = self._split_headers(start, end)
        entity = HeaderParser(policy=_Headers()).parsestr(headers)
        if entity.get_content_maintype() == "multipart":
            boundary = parameter(entity, "Content-Type", "boundary")
            parts = self._split(boundary, body, end) if boundary and depth < _MAX_DEPTH else None
            if parts is not None:
                entity.set_payload([self._entity(*part, depth + 1) for part in parts])
                return entity
            del entity["Content-Type"]  # plain text by default, RFC 2045 5.2
        entity.set_payload(self._source[body:end])
        return entity

    def _split_headers(self, start: int, end: int) -> tuple[str, int]:
        """Return the headers, each at its line's begin, and the position of the body.

        HeaderParser stops at an invalid line. As in other mail readers a space may precede the
        colon (RFC 5322, A.6.3), an invalid line between two headers is skipped, and a boundary ends
        the headers.
        """
        limit = min(end, start + self._headers_left)
        headers: list[str] = []
        body: int | None = None  # of an invalid line, unless another header follows
        position = start
        for match in _LINE.finditer(self._source, start, limit):
            line = match[0]
            position = match.end()
            if _FIELD.match(line):
                headers.append(_FIELD.sub(r"\1:", line, count=1))
                body = None
            elif headers and body is None and line[0] in " \t":
                headers.append(line)
            else:
                blank = line[0] in "\r\n"
                if body is None:
                    body = match.end() if blank else match.start()
                if not headers or blank or line.startswith("--"):
                    break
        self._headers_left -= position - start
        self.cut |= position == limit < end and body is None
        return "".join([*headers, "\n"]), position if body is None else body

    def _split(self, boundary: str, start: int, end: int) -> list[tuple[int, int]] | None:
        """Return the positions of a multipart's parts; None if it has no boundary at all."""
        found = False
        parts: list[tuple[int, int]] = []
        for part in self._between(boundary, start, end):
            found = True
            if part is None:
                continue
            if not self._parts_left or not self._headers_left:
                self.cut = True
                break
            self._parts_left -= 1
            parts.append(part)
        return parts if found else None

    def _between(self, boundary: str, start: int, end: int) -> Iterator[tuple[int, int] | None]:
        """Yield the positions between two boundaries; None for what no part begins or ends."""
        dashes = re.escape(f"--{boundary}")
        # It begins with a constant text, which `re` finds fast, and only then looks back
        delimiter = rf"{dashes}(?<![^\r\n]{dashes})(--)?[ \t]*(?:\r\n|\n|\r|\Z)"
        part: int | None = None
        for match in re.compile(delimiter).finditer(self._source, start, end):
            yield None if part is None else (part, self._before(match.start(), part))
            part = None if match[1] else match.end()
        if part is not None:
            yield part, end

    def _before(self, delimiter: int, start: int) -> int:
        """Return the end of the part before a delimiter, whose newline is the delimiter's."""
        for newline in ("\r\n", "\n", "\r"):
            if self._source.endswith(newline, start, delimiter):
                return delimiter - len(newline)
        return delimiter
