"""The package: Chalice's template merged with ours, and the zip that Lambda gets. In build/<name>/out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from cli.bootstrap import NEWEST, OLDEST

ROOT = Path(__file__).parents[1]
LOCK = ROOT / os.environ.get("LOCK", "requirements-lambda.txt")  # what goes into the zip beside our own files
# Wheels for Amazon Linux 2023, whose glibc is 2.34; pip takes every older manylinux that it is told of
_GLIBCS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


class PackageError(Exception):
    """The package could not be made; the message says why and what mends it."""


@dataclass(frozen=True)
class Package:
    """A template (JSON, its CodeUri still the local zip) and the zip, on disk and ready to deploy."""

    template: dict[str, Any]
    zip: Path


def package(stage: str, this_machine: bool = False, lock: Path = LOCK) -> Package:
    """Make the package of a stage. `this_machine`: with this machine's wheels instead of Lambda's."""
    _require_runtime()
    wheels = _wheels(lock, platform.machine() if this_machine else _architecture(), this_machine)
    out = _packaged(stage, ROOT / "build" / (f"{stage}-local" if this_machine else stage), wheels)
    return Package(json.loads((out / "template.json").read_text()), out / "deployment.zip")


def template(stage: str) -> dict[str, Any]:
    """The template of a stage's package alone: it needs no wheels, so no network."""
    with tempfile.TemporaryDirectory() as folder:  # one of its own for each process that asks
        out = _packaged(stage, Path(folder), None)
        return json.loads((out / "template.json").read_text())  # type: ignore[no-any-return]


def stages() -> list[str]:
    return list(_config()["stages"])


def contents(zip: Path) -> str:
    """What is in the zip, the largest first, and how large all of it is, compressed."""
    with zipfile.ZipFile(zip) as opened:
        entries = sorted(opened.infolist(), key=lambda entry: -entry.compress_size)
    lines = [f"{entry.compress_size:>9,}  {entry.filename}" for entry in entries]
    return "\n".join([*lines, f"{zip.stat().st_size:>9,}  bytes in all, {len(entries)} files: {zip.relative_to(ROOT)}"])


def _packaged(stage: str, build: Path, wheels: Path | None) -> Path:
    """Run Chalice over a copy of what is ours. Returns the folder with template.json and deployment.zip."""
    if stage not in stages():
        raise PackageError(f"no stage is called {stage!r}; .chalice/config.json has: {', '.join(stages())}")
    shutil.rmtree(build, ignore_errors=True)
    source, out = build / "app", build / "out"
    source.mkdir(parents=True)
    for path, name in own_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, source / name)
    shutil.copytree(ROOT / ".chalice", source / ".chalice", ignore=shutil.ignore_patterns("deploy*"))
    (source / "requirements.txt").touch()  # Chalice checks no hashes: we fetch the wheels, it takes them from vendor/
    if wheels:
        shutil.copytree(wheels, source / "vendor")
    _chalice_package(source, out, stage)
    _compile(out / "deployment.zip", build / "code")
    made = _merged(yaml.safe_load((out / "sam.yaml").read_text()), _overlay(stage))
    (out / "template.json").write_text(json.dumps(made, indent=1))  # CloudFormation reads no YAML aliases
    (out / "sam.yaml").unlink()
    return out


def _overlay(stage: str) -> dict[str, Any]:
    """What a stage has otherwise: its own file, if there is one, in CloudFormation's long forms."""
    path = ROOT / ".chalice" / f"{stage}.yaml"
    return yaml.safe_load(path.read_text()) if path.exists() else {}


def _merged(base: Any, over: Any, at: str = "") -> Any:
    """`over` laid on `base`, dicts deeply. A section, parameter or resource that `base` lacks is a slip of the pen."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    if at.count("/") < 2 and (strange := sorted(set(over) - set(base))):
        raise PackageError(f"the stage's file has {at}/{strange[0]}, and the template doesn't")
    return {**base, **{name: _merged(base.get(name), member, f"{at}/{name}") for name, member in over.items()}}


def own_files() -> Iterator[tuple[Path, str]]:
    """What of the project goes into the package: (path, name in the zip)."""
    yield ROOT / "app.py", "app.py"
    for path in sorted((ROOT / "chalicelib").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, str(path.relative_to(ROOT))


def refreshed(old: Path) -> bytes:
    """The zip with our own files as they are now: what a change of code needs, in milliseconds."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, body, mode in _entries(old):
            if not name.startswith(("app.py", "chalicelib/", "__pycache__/")):
                _add(new, name, body, mode)
        for path, name in own_files():
            _add(new, name, path.read_bytes())
    return buffer.getvalue()


def extended(made: Package, files: Mapping[str, bytes]) -> Package:
    """Return the package with more files, in a zip of its own."""
    target = made.zip.with_name("extended.zip")
    shutil.copyfile(made.zip, target)
    with zipfile.ZipFile(target, "a") as opened:
        for name, body in files.items():
            _add(opened, name, body)
    return replace(made, zip=target)


def _compile(zip: Path, folder: Path) -> None:
    """Put bytecode beside the sources: a cold start that compiles them takes a third longer. Lambda's folder is
    read-only, so nothing there would keep it, and the bytecode trusts its source unlooked at."""
    entries = list(_entries(zip))
    with zipfile.ZipFile(zip) as opened:
        opened.extractall(folder)
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "-s", str(folder),
               "-p", "/var/task", str(folder)]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False)  # the same bytes each time
    with zipfile.ZipFile(zip, "w") as opened:
        for name, body, mode in entries:
            _add(opened, name, body, mode)
        for path in sorted(folder.rglob("*.pyc")):
            _add(opened, str(path.relative_to(folder)), path.read_bytes())


def _entries(zip: Path) -> Iterator[tuple[str, bytes, int]]:
    """Yield the name, content and mode of each entry."""
    with zipfile.ZipFile(zip) as opened:
        for entry in opened.infolist():
            yield entry.filename, opened.read(entry), entry.external_attr >> 16


def _add(zip: zipfile.ZipFile, name: str, body: bytes, mode: int = 0) -> None:
    """Add an entry that every user may read. Lambda's user does not own the files, so those that were made under a
    umask of 077 could not be imported. All entries have the same time: the same content gives the same zip."""
    entry = zipfile.ZipInfo(name)
    executable = name.endswith("/") or mode & stat.S_IXUSR
    entry.external_attr = (0o755 if executable else 0o644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    zip.writestr(entry, body)


def _require_runtime() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise PackageError("Lambda has no runtime for Python {}.{}, only 3.{} to 3.{}; name one: make PYTHON=python3.12"
                           .format(*sys.version_info[:2], OLDEST[1], NEWEST[1]))


def _config() -> dict[str, Any]:
    return json.loads((ROOT / ".chalice" / "config.json").read_text())  # type: ignore[no-any-return]


def _architecture() -> str:
    name = str(_config()["lambda_architecture"])
    return {"arm64": "aarch64"}.get(name, name)


def wheels_here(lock: Path) -> Path:
    """A folder with a lock's wheels for this machine."""
    return _wheels(lock, platform.machine(), this_machine=True)


def _wheels(lock: Path, architecture: str, this_machine: bool) -> Path:
    """A folder with the lock's wheels, by hash, for that machine. Kept in build/ until the lock changes."""
    if not lock.is_file():
        raise PackageError(f"LOCK: there is no file {lock}")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    target = ROOT / "build" / f"wheels-{architecture}-{'here' if this_machine else 'lambda'}-{version}-{digest}"
    if target.exists():
        return target
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
           "--no-compile", "--only-binary", ":all:", "--require-hashes", "--requirement", str(lock)]
    if not this_machine:
        pip += ["--implementation", "cp", "--python-version", version]
        pip += [word for glibc in _GLIBCS for word in ("--platform", f"{glibc}_{architecture}")]
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run([*pip, "--target", str(partial)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageError(f"the wheels of {lock.name} could not be fetched for {architecture}; is there a network, and"
                           f" do the hashes fit (make lock)?\n{done.stderr.strip()}")
    partial.rename(target)
    return target


def _chalice_package(source: Path, out: Path, stage: str) -> None:
    command = [sys.executable, "-c", "from chalice.cli import main; main()", "package", "--stage", stage,
               "--merge-template", ".chalice/resources.yaml", str(out)]
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1", **os.environ,
        "PYTHONDONTWRITEBYTECODE": "1",  # Chalice imports the app, and would zip what that leaves, another each time
    }
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageError(f"chalice could not package the app:\n{(done.stderr or done.stdout).strip()}")
