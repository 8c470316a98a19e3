"""Files on this machine: what to upload for an order, and under which names to save results."""

from __future__ import annotations

import base64
import hashlib
import io
import mimetypes
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

INLINE_BYTES = 32 * 1024  # of all inline files of an input; base64 adds a third to each
DEFAULT_TYPE = "application/octet-stream"
MAX_NAME_BYTES = 255  # of the usual file systems
PIECE = 2**18
FileReference: TypeAlias = "dict[str, Any]"
_ID = re.compile(r"[0-9a-f]{64}")
_MEDIA_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}", re.ASCII)
_MEMBERS = {"file", "name", "type", "size"}


@dataclass(frozen=True)
class Source:
    """A file to upload; `content` is its bytes or where they are."""

    content: bytes | Path
    name: str
    type: str
    size: int
    sha256: str

    @classmethod
    def of(
        cls,
        content: bytes | str | os.PathLike[str],
        name: str | None = None,
        type: str | None = None,
    ) -> Source:
        """Return the source for bytes or a path, which is read in pieces. Raises OSError."""
        if not isinstance(content, bytes):
            path = Path(content)
            name = path.name.encode(errors="replace").decode() if name is None else name
            content = path if path.is_file() else path.read_bytes()  # a pipe is read only once
        size = 0
        digest = hashlib.sha256()
        with _opened(content) as stream:
            while piece := stream.read(PIECE):
                size += len(piece)
                digest.update(piece)
        name = name or ""
        type = type or _guessed_type(name)
        return cls(content, name, type, size, digest.hexdigest())

    @property
    def reference(self) -> FileReference:
        """The file as an input names it."""
        return {"file": self.sha256} | self._name

    def inline(self) -> FileReference:
        """Return the file as an input holds it."""
        with self.open() as stream:
            text = base64.b64encode(stream.read()).decode()
        return {"base64": text, "type": self.type} | self._name

    def open(self) -> IO[bytes]:
        """Return the content as a stream."""
        return _opened(self.content)

    @property
    def _name(self) -> dict[str, str]:
        return {"name": self.name} if self.name else {}


class Prepared:
    """An input whose paths and bytes are replaced by files: small ones inline.

    `uploads` has those to upload, by the JSON pointer (RFC 6901) to each. Raises OSError.
    """

    def __init__(self, input: Any) -> None:
        self.uploads: dict[str, Source] = {}
        self._inline_left = INLINE_BYTES
        self.value = self._replaced(input, "/input")

    def _replaced(self, value: Any, pointer: str) -> Any:
        if isinstance(value, dict):
            return {
                name: self._replaced(member, f"{pointer}/{_escape(str(name))}")
                for name, member in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [
                self._replaced(member, f"{pointer}/{index}") for index, member in enumerate(value)
            ]
        return self._file(value, pointer) if isinstance(value, (bytes, Path)) else value

    def _file(self, content: bytes | Path, pointer: str) -> FileReference:
        source = Source.of(content)
        if 0 < source.size <= self._inline_left:  # base64 of an empty file would be none at all
            self._inline_left -= source.size
            return source.inline()
        self.uploads[pointer] = source
        return source.reference


def references(value: Any) -> Iterator[FileReference]:
    """Yield each file that a result names."""
    if isinstance(value, dict):
        if value.keys() <= _MEMBERS and is_file_id(value.get("file")):
            yield value
        else:
            for member in value.values():
                yield from references(member)
    elif isinstance(value, list):
        for member in value:
            yield from references(member)


def label_of(file: FileReference) -> str:
    """Return a file's name for progress and errors; a sender of emails may have chosen it."""
    return _printable(str(file.get("name") or "")) or f"file {file['file']}"


def is_file_id(value: Any) -> bool:
    """Return True for what has the form of a file's id."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def names(found: list[FileReference]) -> list[str]:
    """Return a safe and distinct name for each file."""
    taken: set[str] = set()
    result = []
    for file in found:
        name = safe_name(file)
        stem, suffix = os.path.splitext(name)
        number = 1
        while name.casefold() in taken:  # macOS takes A.png and a.png for one file
            number += 1
            name = f"{stem}-{number}{suffix}"
        taken.add(name.casefold())
        result.append(name)
    return result


def safe_name(file: FileReference) -> str:
    """Return a name that stays in its folder, is not hidden and has only printable characters.

    A file without a usable name gets its id and an extension for its type.
    """
    name = re.split(r"[/\\]", str(file.get("name") or ""))[-1]
    name = _printable(name).strip().lstrip(".-").strip()
    if not name:
        name = file["file"] + (mimetypes.guess_extension(str(file.get("type") or "")) or "")
    stem, suffix = os.path.splitext(name)
    suffix = _cut(suffix, 20)
    return _cut(stem, MAX_NAME_BYTES - 10 - len(suffix.encode())) + suffix


@contextmanager
def written(target: Path) -> Iterator[IO[bytes]]:
    """Open a stream whose bytes become the target once all are there; until then it is as before.

    A link is replaced, not followed. Raises OSError.
    """
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as stream:
            yield stream
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _opened(content: bytes | Path) -> IO[bytes]:
    return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def _guessed_type(name: str) -> str:
    guess = mimetypes.guess_type(name)[0] or ""  # anything, for a name like the URL data:a b/c,d
    return guess if _MEDIA_TYPE.fullmatch(guess) else DEFAULT_TYPE


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "_" for letter in text)


def _cut(text: str, max_bytes: int) -> str:
    return text.encode(errors="replace")[:max_bytes].decode(errors="ignore")


def _escape(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
