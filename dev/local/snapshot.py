"""Read and write the local cloud's state: one file with a checksum, always replaced as a whole.

Beside it, in lambda-blobs/, ministack keeps the code of the functions, each zip under its SHA-256,
and in files/ the objects of buckets, which it writes before it answers the upload.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

NAME = "snapshot"
FILES = "files"
_CODE = re.compile(rb'"code_blob_ref": ?"([0-9a-f]{64})"')


class SnapshotError(Exception):
    """The state can't be used; the message gives the reason and a fix."""


def write(folder: Path, body: bytes) -> None:
    """Replace the snapshot. Raises OSError, and leaves the previous one, if that fails."""
    temporary = folder / f"{NAME}.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(_checksum(body) + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(folder / NAME)
        sync(folder)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Make a file durable, or the names of the files in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(folder: Path) -> bytes | None:
    """Return the snapshot's body, or None without a snapshot. Raises SnapshotError if damaged."""
    try:
        checksum, _, body = (folder / NAME).read_bytes().partition(b"\n")
        if checksum != _checksum(body):
            raise damaged(folder, f"{NAME} has a wrong checksum")
        for digest in set(_CODE.findall(body)):
            name = f"lambda-blobs/{digest.decode()}.zip"
            if _checksum((folder / name).read_bytes()) != digest:
                raise damaged(folder, f"{name} has a wrong checksum")
    except FileNotFoundError as error:
        if (folder / NAME).exists():
            raise damaged(folder, f"{error.filename} is missing") from error
        return None
    except OSError as error:
        raise damaged(folder, f"{error.filename}: {error.strerror}") from error
    return body


def damaged(folder: Path, reason: str) -> SnapshotError:
    return SnapshotError(
        f"the orders saved in {folder}/ can't be read ({reason});"
        f" restore that folder from a backup, or delete the orders: rm -r {folder.parent}"
    )


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
