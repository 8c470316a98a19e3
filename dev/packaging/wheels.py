"""The wheels of locked libraries, fetched once into build/: ours, and those of the user's tasks."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from dev import bootstrap
from dev.packaging import PackageError

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-lambda.txt"
OWN_LOCK = ROOT / bootstrap.OWN_LOCK
# Wheels for Amazon Linux 2023 (glibc 2.34); pip accepts only the manylinux versions that are listed
_GLIBCS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")

_PIP_OPTIONS = (
    "--quiet",
    "--disable-pip-version-check",
    "--no-deps",
    "--no-compile",
    "--only-binary=:all:",
    "--require-hashes",
)


def package_locks(root: Path = ROOT) -> list[Path]:
    """Return the locks of the package: ours, and that of the user's own libraries if there is one.

    Raises PackageError if the two don't fit together, for example after an upgrade.
    """
    problem = bootstrap.own_problem([LOCK.name], str(root))  # type: ignore[no-untyped-call]
    if problem:
        raise PackageError(f"{problem}; run `make lock-own`")
    return [lock for lock in (root / LOCK.name, root / bootstrap.OWN_LOCK) if lock.exists()]


def wheels_here(lock: Path) -> Path:
    """Return a folder with a lock's wheels for this machine."""
    return _wheels(lock, platform.machine(), "here", [])


def wheels_for_lambda(lock: Path, architecture: str) -> Path:
    """Return a folder with a lock's wheels for Lambda."""
    platforms = [f"--platform={glibc}_{architecture}" for glibc in _GLIBCS]
    options = ["--implementation=cp", f"--python-version={_version()}", *platforms]
    return _wheels(lock, architecture, "lambda", options)


def _wheels(lock: Path, architecture: str, machine: str, options: list[str]) -> Path:
    """Return a folder in build/ with the lock's wheels; fetch them only if the lock changed."""
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    target = ROOT / "build" / f"wheels-{architecture}-{machine}-{_version()}-{digest}"
    if target.exists():
        return target
    pip = [sys.executable, "-m", "pip", "install", *_PIP_OPTIONS, *options, "--requirement"]
    target.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetched-") as folder:
        partial = Path(folder) / "wheels"
        done = subprocess.run(
            [*pip, str(lock), "--target", str(partial)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PackageError(
                f"could not fetch the wheels of {lock.name} for {architecture}; check your network"
                f" connection and the hashes (make lock)\n{done.stderr.strip()}"
            )
        with suppress(OSError):  # another process was first
            partial.rename(target)
    return target


def _version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"
