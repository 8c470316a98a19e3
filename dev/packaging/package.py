"""Build the deployment package in build/<name>/out: the template, merged with ours, and the zip."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from dev.bootstrap import NEWEST, OLDEST
from dev.packaging import PackageError, own
from dev.packaging.cloudformation import Loader
from dev.packaging.lanes import with_own
from dev.packaging.own import Own
from dev.packaging.template import stage_mistake
from dev.packaging.wheels import package_locks, wheels_for_lambda, wheels_here

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Package:
    """Template and zip, ready to deploy; the template's CodeUri is still the local zip."""

    template: dict[str, Any]
    zip: Path


def package(stage: str, this_machine: bool = False, locks: Sequence[Path] | None = None) -> Package:
    """Build the package of a stage. `this_machine`: with this machine's wheels, not Lambda's."""
    _require_runtime()
    wheels = [
        wheels_here(lock) if this_machine else wheels_for_lambda(lock, _architecture())
        for lock in locks or package_locks()
    ]
    out = _packaged(stage, ROOT / "build" / (f"{stage}-local" if this_machine else stage), wheels)
    return Package(json.loads((out / "template.json").read_text()), out / "deployment.zip")


def template(stage: str) -> dict[str, Any]:
    """Build only the template of a stage's package, which needs neither wheels nor network."""
    with tempfile.TemporaryDirectory() as folder:  # so that processes do not disturb each other
        out = _packaged(stage, Path(folder))
        return json.loads((out / "template.json").read_text())  # type: ignore[no-any-return]


def stages() -> list[str]:
    """Return the stages in config.json, in orderline.yaml, and those of files `.chalice/*.yaml`."""
    files = {path.stem for path in (ROOT / ".chalice").glob("*.yaml")}
    return sorted({*_config()["stages"], *files, *own.stages()} - {"resources"})


def contents(zip: Path) -> str:
    """List the files in the zip with their compressed sizes, the largest first, and the total."""
    with zipfile.ZipFile(zip) as opened:
        entries = sorted(opened.infolist(), key=lambda entry: -entry.compress_size)
    lines = [f"{entry.compress_size:>9,}  {entry.filename}" for entry in entries]
    size = zip.stat().st_size
    lines.append(f"{size:>9,}  bytes in {len(entries)} files: {zip.relative_to(ROOT)}")
    return "\n".join(lines)


def _packaged(stage: str, build: Path, wheels: Sequence[Path] = ()) -> Path:
    """Run Chalice on a copy of our files. Return the folder of template.json and deployment.zip."""
    configuration = own.read(stage)
    if reason := stage_mistake(stage, stages()):
        raise PackageError(reason)
    shutil.rmtree(build, ignore_errors=True)
    source = build / "app"
    out = build / "out"
    source.mkdir(parents=True)
    for path, name in own_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, source / name)
    shutil.copytree(
        ROOT / ".chalice", source / ".chalice", ignore=shutil.ignore_patterns("deploy*")
    )
    config = _config()
    config["stages"].setdefault(stage, config["stages"]["dev"])  # your own has only a file
    (source / ".chalice" / "config.json").write_text(json.dumps(config))
    # Chalice does not check hashes, so we fetch the wheels and it takes them from vendor/
    (source / "requirements.txt").touch()
    for folder in wheels:
        shutil.copytree(folder, source / "vendor", dirs_exist_ok=True)
    _chalice_package(source, out, stage, configuration)
    _compile(out / "deployment.zip", build / "code")
    merged = _merged(yaml.safe_load((out / "sam.yaml").read_text()), _overlay(stage))
    merged = with_own(merged, configuration)
    # JSON, since CloudFormation does not support YAML aliases
    (out / "template.json").write_text(json.dumps(merged, indent=1))
    (out / "sam.yaml").unlink()
    return out


def _overlay(stage: str) -> dict[str, Any]:
    """Return the stage's own differences from the template, in CloudFormation's long forms."""
    path = ROOT / ".chalice" / f"{stage}.yaml"
    return (yaml.load(path.read_text(), Loader) if path.exists() else None) or {}


def _merged(base: Any, over: Any, at: str = "") -> Any:
    """Merge `over` into `base`, dicts recursively.

    Raises PackageError for a section, parameter or resource that `base` lacks: probably a typo.
    """
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    if at.count("/") < 2 and (unknown := sorted(set(over) - set(base))):
        raise PackageError(f"the stage's file has {at}/{unknown[0]}, but the template does not")
    return {
        **base,
        **{name: _merged(base.get(name), member, f"{at}/{name}") for name, member in over.items()},
    }


def own_files() -> Iterator[tuple[Path, str]]:
    """Yield the project's files that go into the package: (path, name in the zip)."""
    yield ROOT / "app.py", "app.py"
    for path in sorted((ROOT / "chalicelib").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path, str(path.relative_to(ROOT))


def refreshed(old: Path) -> bytes:
    """Return the zip's bytes with our own files replaced by the current ones, without bytecode."""
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
    """Add bytecode to the zip, since Lambda's read-only folder stores none and cold starts compile.

    The bytecode is not checked against its source (unchecked-hash).
    """
    entries = list(_entries(zip))
    with zipfile.ZipFile(zip) as opened:
        opened.extractall(folder)
    command = [
        sys.executable,
        "-m",
        "compileall",
        "-q",
        "--invalidation-mode",
        "unchecked-hash",
        "-s",
        str(folder),
        "-p",
        "/var/task",
        str(folder),
    ]
    reproducible = {**os.environ, "PYTHONHASHSEED": "0"}
    subprocess.run(command, env=reproducible, check=False)
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
    """Add an entry that every user may read.

    Lambda's user does not own the files, so files created under a umask of 077 could not be
    imported. All entries have the same time, so that the same content gives the same zip.
    """
    entry = zipfile.ZipInfo(name)
    executable = name.endswith("/") or mode & stat.S_IXUSR
    entry.external_attr = (0o755 if executable else 0o644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    zip.writestr(entry, body)


def _require_runtime() -> None:
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        raise PackageError(
            f"Lambda has no runtime for Python {sys.version_info[0]}.{sys.version_info[1]},"
            f" only 3.{OLDEST[1]} to 3.{NEWEST[1]}; choose one: make PYTHON=python3.12"
        )


def _config() -> dict[str, Any]:
    return json.loads((ROOT / ".chalice" / "config.json").read_text())  # type: ignore[no-any-return]


def _architecture() -> str:
    name = str(_config()["lambda_architecture"])
    return {"arm64": "aarch64"}.get(name, name)


def _chalice_package(source: Path, out: Path, stage: str, configuration: Own) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from chalice.cli import main; sys.exit(main())",
        "package",
        "--stage",
        stage,
        "--merge-template",
        ".chalice/resources.yaml",
        str(out),
    ]
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        **os.environ,
        **configuration.variables(own.default_timeout_s(configuration, os.environ)),
        # Chalice imports the app and would zip the bytecode of it, which differs each time
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command, cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise PackageError(
            f"chalice could not package the app:\n{(done.stderr or done.stdout).strip()}"
        )
