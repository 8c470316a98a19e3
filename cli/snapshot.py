"""The state of the local cloud on disk: one file that is replaced as a whole and holds its own checksum.

Beside it, in lambda-blobs/, ministack keeps the code of the functions, each zip under its SHA-256.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

NAME = "snapshot"
_CODE = re.compile(rb'"code_blob_ref": ?"([0-9a-f]{64})"')


class SnapshotError(Exception):
    """The state can't be used; the message says why and how to fix it."""


def write(folder: Path, body: bytes) -> None:
    """Replace the snapshot, or raise OSError and leave the one before it."""
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
    """Return what was written last, or None if nothing was. Raises SnapshotError."""
    try:
        checksum, _, body = (folder / NAME).read_bytes().partition(b"\n")
        if checksum != _checksum(body):
            raise damaged(folder, f"{NAME} is not what was written")
        for digest in set(_CODE.findall(body)):
            if (
                _checksum((folder / "lambda-blobs" / f"{digest.decode()}.zip").read_bytes())
                != digest
            ):
                raise damaged(folder, f"lambda-blobs/{digest.decode()}.zip is not what was written")
    except FileNotFoundError as error:
        if (folder / NAME).exists():
            raise damaged(folder, f"{error.filename} is missing") from error
        return None
    except OSError as error:
        raise damaged(folder, f"{error.filename}: {error.strerror}") from error
    return body


def damaged(folder: Path, reason: str) -> SnapshotError:
    return SnapshotError(
        f"the orders kept in {folder}/ can't be read ({reason});"
        f" restore that folder from a backup, or forget the orders: rm -r {folder.parent}"
    )


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()
