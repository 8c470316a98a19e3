"""The lock of the user's own libraries fits the other locks, or an error names the fix."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dev.packaging import PackageError, wheels
from dev.packaging.package import ROOT

HASH = f"--hash=sha256:{'a' * 64}"
LAMBDA = f"msgspec==0.20.0 \\\n    {HASH}\n"


def project(folder: Path, own: str, lock: str | None, lambda_lock: str = LAMBDA) -> Path:
    """Write the files of a project that name libraries."""
    (folder / "requirements").mkdir()
    (folder / "requirements" / "own.in").write_text(own)
    if lock is not None:
        (folder / "requirements" / "own.txt").write_text(lock)
    (folder / "requirements-lambda.txt").write_text(lambda_lock)
    return folder


def test_without_own_libraries_the_package_has_one_lock(tmp_path: Path) -> None:
    root = project(tmp_path, "# one a line\n", None)

    assert wheels.package_locks(root) == [root / "requirements-lambda.txt"]


def test_own_libraries_are_in_the_package(tmp_path: Path) -> None:
    lock = f"{LAMBDA}py-qr-code==1.0 ; sys_platform == 'linux' \\\n    {HASH}\n"
    root = project(tmp_path, "# one a line\nPy_QR.code<2  # our labels\n-c more.txt\n", lock)

    assert wheels.package_locks(root) == [
        root / "requirements-lambda.txt",
        root / "requirements" / "own.txt",
    ]


def test_a_library_with_several_versions_by_python_fits_one_of_them(tmp_path: Path) -> None:
    forked = "six==1.0 ; python_full_version < '3.11'\nsix==2.0 ; python_full_version >= '3.11'\n"
    root = project(tmp_path, "six\n", "six==2.0\n", forked)

    assert len(wheels.package_locks(root)) == 2


@pytest.mark.parametrize(
    ("own", "lock", "words"),
    [
        ("six\n", None, "own.in names six, but requirements/own.txt does not"),
        ("six\npandas\n", "six==1.0\n", "own.in names pandas, but requirements/own.txt does not"),
        ("# none\n", "six==1.0\n", "own.in names no library, but there is requirements/own.txt"),
        (
            "six\n",
            "msgspec==0.19.0\nsix==1.0\n",
            "own.txt has msgspec 0.19.0, but requirements-lambda.txt has 0.20.0",
        ),
    ],
    ids=["no lock", "an older lock", "a lock of nothing", "another version after an upgrade"],
)
def test_a_lock_that_does_not_fit_is_an_error_that_names_the_fix(
    tmp_path: Path, own: str, lock: str | None, words: str
) -> None:
    root = project(tmp_path, own, lock)

    with pytest.raises(PackageError, match=f"{words}.*make lock-own"):
        wheels.package_locks(root)

    done = subprocess.run(
        [
            *(sys.executable, ROOT / "dev" / "bootstrap.py"),
            *("requirements-lambda.txt", "requirements/own.in"),
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert words in done.stderr
    assert "make lock-own" in done.stderr
    assert not (root / ".venv").exists(), "nothing is installed before the locks fit"
