"""The local cloud's state on disk: replaced whole or not at all, and refused if it is damaged."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dev.local import snapshot
from dev.local.snapshot import SnapshotError

BODY = b'{"sqs": {"queues": 1}}'


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Limit the size of files, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_last_snapshot_is_read(tmp_path: Path) -> None:
    assert snapshot.read(tmp_path) is None

    snapshot.write(tmp_path, BODY)
    snapshot.write(tmp_path, BODY * 2)

    assert snapshot.read(tmp_path) == BODY * 2


def test_a_write_without_space_leaves_the_previous_snapshot(tmp_path: Path) -> None:
    snapshot.write(tmp_path, BODY)

    with largest_file(1000), pytest.raises(OSError, match="File too large"):
        snapshot.write(tmp_path, b"x" * 5000)

    assert snapshot.read(tmp_path) == BODY
    assert [path.name for path in tmp_path.iterdir()] == [snapshot.NAME]


@pytest.mark.parametrize("keep", [0, 1, 64, 65, 70, len(BODY) + 64])
def test_a_truncated_snapshot_is_refused_with_a_hint(tmp_path: Path, keep: int) -> None:
    snapshot.write(tmp_path, BODY)
    path = tmp_path / snapshot.NAME
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(
        SnapshotError, match=r"has a wrong checksum.*restore that folder from a backup, or delete"
    ):
        snapshot.read(tmp_path)


def test_each_changed_byte_is_noticed(tmp_path: Path) -> None:
    snapshot.write(tmp_path, BODY)
    path = tmp_path / snapshot.NAME
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(SnapshotError):
            snapshot.read(tmp_path)


def test_the_code_of_the_functions_is_part_of_the_snapshot(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"code").hexdigest()
    code = tmp_path / "lambda-blobs" / f"{digest}.zip"
    code.parent.mkdir()
    code.write_bytes(b"code")
    body = f'{{"code_zip": {{"code_blob_ref": "{digest}"}}}}'.encode()
    snapshot.write(tmp_path, body)
    assert snapshot.read(tmp_path) == body

    code.write_bytes(b"cod")
    with pytest.raises(SnapshotError, match=r"lambda-blobs/.* has a wrong checksum"):
        snapshot.read(tmp_path)

    code.unlink()
    with pytest.raises(SnapshotError, match=r"lambda-blobs/.* is missing"):
        snapshot.read(tmp_path)


def test_a_folder_with_the_name_of_the_snapshot_is_refused(tmp_path: Path) -> None:
    (tmp_path / snapshot.NAME).mkdir()

    with pytest.raises(SnapshotError, match="Is a directory"):
        snapshot.read(tmp_path)
