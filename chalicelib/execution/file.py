"""Files in a task's type hints: bytes that are stored beside the order, not in it.

def thumbnail(image: File) -> File:
    return File.of(shrink(image.read()), name="small.png")

In JSON a file is `{"file": "<SHA-256 of its bytes>", "name", "type", "size"}`. A small one may be
sent inline instead: `{"base64": "...", "name": "cat.png"}`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from msgspec import UNSET, Meta, Struct, UnsetType, field

from chalicelib.errors import TaskMistake

if TYPE_CHECKING:  # few orders need paths, and the import takes a cold start longer
    from pathlib import Path

DEFAULT_TYPE = "application/octet-stream"
_ID = re.compile(r"[0-9a-f]{64}")
_TOKEN = "[A-Za-z0-9!#$&^_.+-]{1,127}"
MEDIA_TYPE_PATTERN = f"^{_TOKEN}/{_TOKEN}$"  # RFC 6838, without parameters
_TYPE = re.compile(f"{_TOKEN}/{_TOKEN}")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}\Z")
_MAX_BYTES = "x-max-bytes"  # of our limits in a hint's metadata, and in its JSON Schema
_MEDIA_TYPES = "x-media-types"
_CHUNK = 2**20


class Store(Protocol):
    """Where the bytes of an order's files are."""

    def read(self, file_id: str) -> bytes:
        """Return a file's bytes."""

    def path(self, file_id: str, suffix: str) -> Path:
        """Return a path with a file's bytes, that ends with a suffix."""

    def save(self, file: File) -> None:
        """Store a new file; check that another one is stored."""


class File(Struct, forbid_unknown_fields=True, omit_defaults=True, dict=True, weakref=True):
    """A file: the id of an uploaded one, or the bytes of a small one in base64."""

    file: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$", max_length=64)] = ""
    """Id: the SHA-256 of the bytes, in hexadecimal. Empty only if the client sent `base64`."""
    base64: str | UnsetType = UNSET
    """The bytes of a file that is sent inline; always unset once it is decoded."""
    name: Annotated[str, Meta(max_length=255)] = ""
    """Name for people, such as cat.png; never a path. Empty: none."""
    type: Annotated[str, Meta(max_length=255)] = ""
    """Media type, such as image/png. Set when the order is placed, if the client did not."""
    # A default_factory, since a default is omitted, and an empty file has a size too
    size: Annotated[int, Meta(ge=0)] = field(default_factory=int)
    """Size in bytes. Set when the order is placed."""

    def __post_init__(self) -> None:
        if bool(self.file) == (self.base64 is not UNSET):
            raise ValueError('a file has either "file", the id of an uploaded one, or "base64"')
        if self.type and not is_media_type(self.type):
            raise ValueError(f"{self.type!r} is not a media type, such as image/png")
        self.content: bytes | Path | None = None
        self.content_path: Path | None = None
        self.store: Store | None = None
        if self.base64 is not UNSET:
            self.content = _decoded(self.base64)
            self.size, self.file = measure(self.content)
            self.base64 = UNSET
            self.type = self.type or guessed_type(self.name)

    def __hash__(self) -> int:
        return hash(self.file)

    @classmethod
    def of(cls, content: bytes | Path, name: str = "", type: str = "") -> File:
        """Return a new file, for a task to return. It is stored before the result is recorded.

        Args:
            content: the bytes, or a path with them
            name: name of the download; empty: the path's name, if there is one
            type: media type, such as image/png; empty: guessed from the name
        """
        if not isinstance(content, bytes):
            from pathlib import Path  # noqa: PLC0415

            if not isinstance(content, Path):
                raise TypeError(
                    f"File.of takes bytes or a Path, not {content.__class__.__name__}:"
                    " encode a text, as in File.of(text.encode())"
                )
            name = name or content.name
        size, digest = measure(content)
        file = cls(digest, UNSET, name, type or guessed_type(name), size)
        file.content = content
        return file

    def read(self) -> bytes:
        """Return the bytes. Raises FileUnavailable if they can't be read now."""
        if self.content is None:
            return self._stored().read(self.file)
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()

    def path(self) -> Path:
        """Return a path with the bytes, which is removed when the attempt ends.

        It ends as the name does, such as with .png. Memory does not grow with the file's size.
        Raises FileUnavailable if the bytes can't be read now.
        """
        if isinstance(self.content, bytes):
            self.content_path = self.content_path or self._written(self.content)
            return self.content_path
        return self.content or self._stored().path(self.file, self._suffix())

    def _suffix(self) -> str:
        """Return the end of the name that some libraries go by; the name itself is not trusted."""
        found = _SUFFIX.search(self.name)
        return found[0] if found else ""

    def _written(self, content: bytes) -> Path:
        """Return the path of a new file with the content, which is removed with this object."""
        import tempfile  # noqa: PLC0415  slow to import, and few tasks need them
        import weakref  # noqa: PLC0415
        from pathlib import Path  # noqa: PLC0415

        descriptor, name = tempfile.mkstemp(self._suffix(), "orderline-")
        path = Path(name)
        weakref.finalize(self, path.unlink, missing_ok=True)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
        return path

    def _stored(self) -> Store:
        if self.store is None:
            raise TaskMistake(f"file {self.file} belongs to no running order; use File.of(...)")
        return self.store


class Limits(Struct, frozen=True):
    """What a parameter's files may be; see `limits`."""

    max_bytes: int | None = None
    """Maximum size in bytes; None: only the setting MAX_FILE_BYTES applies."""
    types: tuple[str, ...] = ()
    """Accepted media types; `image/*` stands for all images. Empty: any."""

    def narrowed(self, extra: Mapping[str, Any]) -> Limits:
        """Return these limits with those of an inner type hint's metadata, which come first."""
        return Limits(extra.get(_MAX_BYTES, self.max_bytes), extra.get(_MEDIA_TYPES, self.types))

    def reason_against(self, file: File) -> str | None:
        """Return why a file is not accepted, or None if it is."""
        if self.max_bytes is not None and file.size > self.max_bytes:
            return f"the file has {file.size} bytes; the maximum is {self.max_bytes}"
        if not self.types or any(_matches(file.type, accepted) for accepted in self.types):
            return None
        return f"the file's type is {file.type}; accepted: {', '.join(self.types)}"


def limits(max_bytes: int | None = None, types: tuple[str, ...] = ()) -> Meta:
    """Return limits for the files of a parameter; an order with another file is not accepted.

    image: Annotated[File, limits(max_bytes=5_000_000, types=("image/*",))]

    Put it around a union, as in Annotated[File | None, limits(...)]: inside one it is enforced too,
    but msgspec leaves it out of the JSON Schema, so that clients do not see it.

    Args:
        max_bytes: maximum size in bytes; None: only the setting MAX_FILE_BYTES applies
        types: accepted media types; `image/*` stands for all images; empty: any
    """
    if isinstance(types, str) or not all(map(is_media_type, _without_stars(types))):
        raise TaskMistake(
            f"limits(types={types!r}): must be a tuple of media types, such as image/png or image/*"
        )
    if max_bytes is not None and max_bytes < 1:
        raise TaskMistake(f"limits(max_bytes={max_bytes}): must be at least 1")
    extra: dict[str, Any] = {}
    if types:
        extra[_MEDIA_TYPES] = types
    if max_bytes is not None:
        extra[_MAX_BYTES] = max_bytes
    return Meta(extra=extra, extra_json_schema=extra)


def files_in(value: Any) -> Iterator[File]:
    """Yield each file in a value."""
    if isinstance(value, File):
        yield value
    for member in _members(value):
        yield from files_in(member)


def _members(value: Any) -> Iterable[Any]:
    if isinstance(value, Mapping):
        return value.values()
    if isinstance(value, (list, tuple, set, frozenset)):
        return value
    if isinstance(value, Struct):
        return (getattr(value, name) for name in value.__struct_fields__)
    if hasattr(type(value), "__dataclass_fields__"):
        from dataclasses import fields  # noqa: PLC0415  who made the value has imported it

        return (getattr(value, field.name, None) for field in fields(value))
    # attrs, which msgspec can encode too
    return (getattr(value, field.name) for field in getattr(value, "__attrs_attrs__", ()))


def complete(value: Any, found: Iterable[tuple[str, File, Limits]]) -> None:
    """Write the types and sizes of files into the JSON that names them.

    Args:
        value: the input, as decoded JSON
        found: pointer into {"input": value}, file and limits of each file
    """
    for pointer, file, _ in found:
        member: Any = {"input": value}
        for name in pointer.split("/")[1:]:
            key = name.replace("~1", "/").replace("~0", "~")
            member = member[int(key)] if isinstance(member, list) else member[key]
        if "file" in member:
            member |= {"type": file.type, "size": file.size}


def is_file_id(text: str) -> bool:
    """Return True if the text has the form of a file's id."""
    return _ID.fullmatch(text) is not None


def is_media_type(text: str) -> bool:
    """Return True for a media type without parameters, such as image/png (RFC 6838)."""
    return _TYPE.fullmatch(text) is not None


def guessed_type(name: str) -> str:
    """Guess the media type from a file's name."""
    import mimetypes  # noqa: PLC0415  reads files, and few orders need it

    guess = mimetypes.guess_type(name)[0] or ""
    return guess if is_media_type(guess) else DEFAULT_TYPE  # a name may be a hostile data: URL


def measure(content: bytes | Path) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 in hexadecimal."""
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    size = 0
    with content.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            size += len(chunk)
            digest.update(chunk)
    return size, digest.hexdigest()


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not valid base64: {error}") from None


def _without_stars(types: tuple[str, ...]) -> list[str]:
    return [each.removesuffix("/*") + "/any" if each.endswith("/*") else each for each in types]


def _matches(media_type: str, accepted: str) -> bool:
    if accepted.endswith("/*"):
        return media_type.startswith(accepted[:-1])
    return media_type == accepted
