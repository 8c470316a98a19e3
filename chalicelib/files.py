"""Files of orders: objects in the bucket, under their owner and the SHA-256 of their bytes.

A file is stored before the row or the result that names it, and S3 deletes it some days after its
last upload. An order is accepted only if its files will outlive it; see `lasts_until`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import gmtime  # bound here: a task may leave time.gmtime patched
from typing import TYPE_CHECKING
from urllib.parse import quote

from msgspec import Struct

from chalicelib import clock, config
from chalicelib.aws.client import bucket, translated
from chalicelib.clock import SECOND, Micros
from chalicelib.errors import (
    FileMissing,
    FileUnavailable,
    InvalidInput,
    TaskMistake,
    Unavailable,
)
from chalicelib.execution.file import File, Limits

if TYPE_CHECKING:
    from pathlib import Path

    from chalicelib.aws.s3 import Stored

URL_VALID_S = 900
MAX_FILES = 10  # of an order's input: each costs a call when the order is placed
DAY = 86_400 * SECOND
# Types that browsers may show; others are downloaded, since a page could run scripts
_SHOWN = ("image/png", "image/jpeg", "image/gif", "image/webp")
_RESERVE = 3600 * SECOND  # between an upload and the order that names the file


class SignedRequest(Struct, frozen=True):
    """A request to S3 that anyone may send until it expires."""

    method: str
    url: str
    headers: dict[str, str]
    """What the request must send, with these values."""
    expires_at: Micros
    """Time of its end."""


def find(owner: str, file_id: str) -> Stored | None:
    """Return what is stored of an owner's file, or None. Raises FileUnavailable."""
    with _calls(f"file {file_id} could not be found"):
        return bucket().head(_key(owner, file_id))


def upload(owner: str, file_id: str, size: int, type: str) -> SignedRequest | None:
    """Return the request that uploads a file; None if it is stored and fresh. Raises Unavailable.

    S3 refuses other bytes than those of `file_id`, another size and another type.
    """
    stored = find(owner, file_id)
    fresh = stored and lasts_until(clock.now() + _RESERVE, stored.modified_at)
    if stored and fresh and stored.type == type:
        return None
    headers = {
        "content-length": str(size),
        "content-type": type,
        "x-amz-checksum-sha256": base64.b64encode(bytes.fromhex(file_id)).decode(),
    }
    return _signed("PUT", _key(owner, file_id), headers, {})


def download(owner: str, file_id: str, stored: Stored, name: str = "") -> SignedRequest:
    """Return the request for a stored file.

    With a name a browser saves the file under it; without one it shows a picture.
    """
    disposition = "inline" if stored.type in _SHOWN and not name else "attachment"
    if name:
        disposition += f"; filename*=UTF-8''{quote(name, safe='')}"
    query = {
        "response-content-type": stored.type,
        "response-content-disposition": disposition,
    }
    return _signed("GET", _key(owner, file_id), {}, query)


def check(owner: str, found: Iterable[tuple[str, File, Limits]], run_at: Micros) -> None:
    """Check the files of an input, and set the type and size of each.

    Raises InvalidInput or FileMissing, with the pointer to the file, and Unavailable.

    Args:
        owner: the owner of the order
        found: pointer, file and limits of each file
        run_at: the earliest time of the order's first attempt
    """
    kept: dict[str, Stored] = {}
    for pointer, file, limits in found:
        if file.content is None:
            if file.file not in kept:
                if len(kept) == MAX_FILES:
                    raise InvalidInput(f"an order may name at most {MAX_FILES} files", pointer)
                kept[file.file] = keep(owner, file.file, run_at, pointer)
            file.type = kept[file.file].type
            file.size = kept[file.file].size
        max_bytes = config.settings().max_file_bytes
        reason = limits.reason_against(file) or Limits(max_bytes).reason_against(file)
        if reason:
            raise InvalidInput(reason, pointer)


def keep(owner: str, file_id: str, run_at: Micros, pointer: str = "") -> Stored:
    """Let a stored file outlive an order that runs at `run_at`; a copy begins its days again.

    Raises FileMissing with the pointer, and FileUnavailable.
    """
    stored = find(owner, file_id)
    if stored is None:
        raise FileMissing(f"file {file_id} is not stored; upload it with POST /files", pointer)
    if not lasts_until(run_at):
        raise FileMissing(
            f"file {file_id} would be deleted before the order ends: place the order later, or"
            " raise the setting FILE_DAYS",
            pointer,
        )
    if not lasts_until(run_at, stored.modified_at):
        with _calls(f"file {file_id} could not be renewed"):
            bucket().renew(_key(owner, file_id), stored.type)
    return stored


def lasts_until(run_at: Micros, modified_at: Micros | None = None) -> bool:
    """Return True if a file of this upload (None: one of now) lasts as long as its order."""
    settings = config.settings()
    needed_until = run_at + (settings.max_age_s + settings.retention_s) * SECOND
    return (modified_at or clock.now()) + settings.file_days * DAY >= needed_until


class OrderFiles:
    """The files of one attempt: the task reads them here, and its new ones are stored."""

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._folder: Path | None = None
        self._lock = Lock()  # a task may read files in threads
        self._saved: set[tuple[str, str]] = set()
        self._closed = False

    def read(self, file_id: str) -> bytes:
        """Return a file's bytes. Raises FileUnavailable."""
        return b"".join(self._download(file_id))

    def path(self, file_id: str, suffix: str = "") -> Path:
        """Return a path with a file's bytes, that ends with a suffix. Raises FileUnavailable."""
        self._require_open()
        with self._lock:
            try:
                self._folder = self._folder or _new_folder()
                path = self._folder / f"{file_id}{suffix}"
                if not path.exists():
                    partial = self._folder / f".{file_id}"
                    with partial.open("wb") as stream:
                        stream.writelines(self._download(file_id))
                    partial.rename(path)
            except OSError as error:
                raise FileUnavailable(
                    f"file {file_id} could not be written to the disk ({error.strerror});"
                    " a function's EphemeralStorage has 512 MB by default"
                ) from error
            return path

    def save(self, file: File) -> None:
        """Store a file that the task made, once; check that another one is stored.

        Raises FileUnavailable; TaskMistake if it is too large, its path has changed, or it is not
        stored. The files of the order's input were checked before.
        """
        content = file.content
        if (file.file, file.type) in self._saved:
            return
        if content is None:
            if file.store is None:
                self._check(file)
            return
        max_bytes = config.settings().max_file_bytes
        if reason := Limits(max_bytes).reason_against(file):
            raise TaskMistake(f"{reason} (MAX_FILE_BYTES)")
        if not isinstance(content, bytes) and not (
            content.is_file() and content.stat().st_size == file.size
        ):
            raise TaskMistake(
                f"{content} was removed or changed before it was stored: leave it until the task"
                " has returned, or return File.of(path.read_bytes())"
            )
        self._upload(file)
        self._saved.add((file.file, file.type))

    def text(self, inline: str, file_id: str | None) -> str:
        """Return an input's or a result's JSON text, wherever it is. Raises FileUnavailable."""
        return self.read(file_id).decode() if file_id else inline

    def save_text(self, text: str) -> str:
        """Store a large JSON text, and return the file's id. Raises FileUnavailable."""
        file = File.of(text.encode(), type="application/json")
        self._upload(file)
        return file.file

    def close(self) -> None:
        """Remove the paths; files can't be read any more."""
        self._closed = True
        if self._folder:
            import shutil  # noqa: PLC0415  slow to import, and few tasks need it

            shutil.rmtree(self._folder, ignore_errors=True)

    def _upload(self, file: File) -> None:
        assert file.content is not None
        with _calls(f"file {file.file} could not be stored"):
            bucket().upload(_key(self._owner, file.file), file.content, file.file, file.type)

    def _require_open(self) -> None:
        if self._closed:
            raise TaskMistake("a file can't be read after its attempt has ended")

    def _check(self, file: File) -> None:
        """Check a file that the task knows by its id alone, so that no result names a missing one.

        Raises TaskMistake and FileUnavailable.
        """
        try:
            keep(self._owner, file.file, clock.now())
        except FileMissing:
            raise TaskMistake(
                f"the result names file {file.file}, which is not stored; return File.of(...)"
            ) from None

    def _download(self, file_id: str) -> Iterator[bytes]:
        """Yield a file's bytes. Raises FileUnavailable, at the end if they are not the file's."""
        self._require_open()
        digest = hashlib.sha256()
        with _calls(f"file {file_id} could not be read"):
            for piece in bucket().download(_key(self._owner, file_id)):
                digest.update(piece)
                yield piece
        if digest.hexdigest() != file_id:  # http.client does not notice a connection that broke
            raise FileUnavailable(f"file {file_id} could not be read completely: try again")


@contextmanager
def _calls(problem: str) -> Iterator[None]:
    """Raise FileUnavailable, with the problem, for AWS errors in the block."""
    try:
        with translated():
            yield
    except Unavailable as error:
        raise FileUnavailable(f"{problem}: {error}") from error


def _new_folder() -> Path:
    """Return a new temporary folder, and remove those of attempts that Lambda has killed."""
    import shutil  # noqa: PLC0415  slow to import, and few tasks need them
    import tempfile  # noqa: PLC0415
    from pathlib import Path  # noqa: PLC0415

    if config.aws().in_lambda:  # where attempts run one at a time
        for left in Path(tempfile.gettempdir()).glob("orderline-*"):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="orderline-"))


def _key(owner: str, file_id: str) -> str:
    """Return the key of an owner's file; the owner comes from the access token or the row alone."""
    return f"{owner}/{file_id}"


def url_prefix() -> str:
    """Return what the URLs of all files begin with: the URL of the bucket."""
    return _object_url("")


def _object_url(key: str) -> str:
    from chalicelib.aws import s3  # noqa: PLC0415  few requests need it

    return s3.object_url(config.aws(), config.settings().files_bucket, key)


def _signed(method: str, key: str, headers: dict[str, str], query: dict[str, str]) -> SignedRequest:
    from chalicelib.aws import s3  # noqa: PLC0415  few requests need it

    url = s3.presigned_url(
        config.aws(), method, _object_url(key), URL_VALID_S, headers, query, gmtime()
    )
    return SignedRequest(method, url, headers, clock.now() + URL_VALID_S * SECOND)
