"""The package: Chalice's template merged with ours, and the zip that Lambda gets. In build/<name>/out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements-lambda.txt"
# Wheels for Amazon Linux 2023, whose glibc is 2.34; pip takes every older manylinux that it is told of
_GLIBCS = ("manylinux_2_28", "manylinux_2_17", "manylinux2014")


class PackageError(Exception):
    """The package could not be made; the message says why and what mends it."""


@dataclass(frozen=True)
class Package:
    """A template (JSON, its CodeUri still the local zip) and the zip, on disk and ready to deploy."""

    template: dict[str, Any]
    zip: Path


def package(stage: str, this_machine: bool = False) -> Package:
    """Make the package of a stage. `this_machine`: with this machine's wheels instead of Lambda's."""
    architecture = platform.machine() if this_machine else _architecture()
    build = ROOT / "build" / (f"{stage}-local" if this_machine else stage)
    shutil.rmtree(build, ignore_errors=True)
    source, out = build / "app", build / "out"
    source.mkdir(parents=True)
    for path, name in own_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, source / name)
    shutil.copytree(ROOT / ".chalice", source / ".chalice", ignore=shutil.ignore_patterns("deploy*"))
    (source / "requirements.txt").touch()  # Chalice checks no hashes: we fetch the wheels, it takes them from vendor/
    shutil.copytree(_wheels(architecture, this_machine), source / "vendor")
    _chalice_package(source, out, stage)
    template = yaml.safe_load((out / "sam.yaml").read_text())
    (out / "template.json").write_text(json.dumps(template, indent=1))  # CloudFormation reads no YAML aliases
    (out / "sam.yaml").unlink()
    return Package(template, out / "deployment.zip")


def own_files() -> Iterator[tuple[Path, str]]:
    """What of the project goes into the package: (path, name in the zip)."""
    yield ROOT / "app.py", "app.py"
    for path in sorted((ROOT / "chalicelib").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, str(path.relative_to(ROOT))


def refreshed(old: Path) -> bytes:
    """The zip with our own files as they are now: what a change of code needs, in milliseconds."""
    buffer = io.BytesIO()
    own = dict((name, path) for path, name in own_files())
    with zipfile.ZipFile(old) as before, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as after:
        for entry in before.infolist():
            if entry.filename != "app.py" and not entry.filename.startswith("chalicelib/"):
                after.writestr(entry, before.read(entry.filename))
        for name, path in own.items():
            after.write(path, name)
    return buffer.getvalue()


def _architecture() -> str:
    config = json.loads((ROOT / ".chalice" / "config.json").read_text())
    return {"arm64": "aarch64"}.get(config["lambda_architecture"], config["lambda_architecture"])


def _wheels(architecture: str, this_machine: bool) -> Path:
    """A folder with the lock's wheels, by hash, for that machine. Kept in build/ until the lock changes."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    target = ROOT / "build" / f"wheels-{architecture}-{'here' if this_machine else 'lambda'}-{version}-{digest}"
    if target.exists():
        return target
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps",
           "--no-compile", "--only-binary", ":all:", "--require-hashes", "--requirement", str(LOCK)]
    if not this_machine:
        pip += ["--implementation", "cp", "--python-version", version]
        pip += [word for glibc in _GLIBCS for word in ("--platform", f"{glibc}_{architecture}")]
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run([*pip, "--target", str(partial)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageError(f"the wheels of {LOCK.name} could not be fetched for {architecture}; is there a network, and"
                           f" do the hashes fit (make lock)?\n{done.stderr.strip()}")
    partial.rename(target)
    return target


def _chalice_package(source: Path, out: Path, stage: str) -> None:
    command = [sys.executable, "-c", "from chalice.cli import main; main()", "package", "--stage", stage,
               "--merge-template", ".chalice/resources.yaml", str(out)]
    environment = {**os.environ, "AWS_DEFAULT_REGION": os.environ.get("AWS_DEFAULT_REGION", "us-east-1")}
    done = subprocess.run(command, cwd=source, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise PackageError(f"chalice could not package the app:\n{(done.stderr or done.stdout).strip()}")
