"""Check the JavaScript of the board and the operator's page: `python -m dev.check_board`.

The files are served as they are, within a limit of bytes, so their types are in dev/typescript/.
This program adds them to copies of the files, as JSDoc comments, and runs TypeScript's compiler on
the copies.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
STATIC = Path("chalicelib/web/static")
OPERATOR_STATIC = Path("chalicelib/web/operator_static")
SERVED = {"board": STATIC, "operator": OPERATOR_STATIC}  # by their folders in URLs
CONFIGURATION = Path("dev/typescript")
BUILD = ROOT / "build" / "typescript"
BIN = Path(sys.executable).parent  # has node and npm, from requirements/openapi.txt
OPTIONS = ("--prefer-offline", "--fetch-retries=1", "--fetch-timeout=20000", "--loglevel=error")


class CheckError(Exception):
    """The check could not run."""


class NotInstalledError(CheckError):
    """npm could not install TypeScript."""


def main() -> int:
    try:
        output = check(_copies())
    except NotInstalledError as error:
        if not os.environ.get("CI"):
            return _say(f"warning: the pages' JavaScript was not checked: {error}", 0)
        return _say(f"error: the pages' JavaScript was not checked: {error}", 1)
    except CheckError as error:
        return _say(f"error: {error}", 1)
    return _say(output or "The pages' JavaScript has no type errors", int(bool(output)))


def check(folder: Path) -> str:
    """Run TypeScript's compiler in a folder; return its complaints, with our files' paths."""
    _install(folder)
    tsc = folder / "node_modules" / "typescript" / "bin" / "tsc"
    done = _run(folder, BIN / "node", tsc, "--pretty", "false")
    # Without the column, which the added comment shifts
    output = re.sub(
        r"^(board|operator)/(\w+\.js)\((\d+),\d+\)",
        lambda found: f"{SERVED[found[1]]}/{found[2]}:{found[3]}",
        done.stdout,
        flags=re.MULTILINE,
    )
    if done.returncode and not output:
        raise CheckError(f"TypeScript failed: {done.stderr.strip()}")
    return re.sub(r"^(\w+\.d\.ts)\(", rf"{CONFIGURATION}/\1(", output, flags=re.MULTILINE).strip()


def annotated(name: str, code: str, types: str) -> str:
    """Return a file's code with the type of each function and variable that `types` declares.

    The types of api.js are the members of the interface ApiJs, and so on. Lines keep their numbers.
    Raises CheckError if the code does not declare a member exactly once.
    """
    interface = f"{name.removesuffix('.js').capitalize()}Js"
    body = re.search(rf"^interface {interface} {{\n(.*?)^}}", types, re.MULTILINE | re.DOTALL)
    for member in re.findall(r"^  (\w+)[<(:]", body[1] if body else "", re.MULTILINE):
        declaration = rf"^( *)((?:export )?(?:async )?(?:function|const|let) {member}\b)"
        comment = rf'\1/** @type {{{interface}["{member}"]}} */ \2'
        code, count = re.subn(declaration, comment, code, flags=re.MULTILINE)
        if count != 1:
            raise CheckError(
                f"{CONFIGURATION} has {interface}.{member}, but {name} declares {member}"
                f" {count} times"
            )
    return code


def _copies() -> Path:
    """Copy the configuration and the annotated files to the build folder; return the folder."""
    BUILD.mkdir(parents=True, exist_ok=True)
    for path in [*BUILD.glob("*.js"), *BUILD.glob("*.d.ts")]:
        path.unlink()
    shutil.copytree(ROOT / CONFIGURATION, BUILD, dirs_exist_ok=True)
    types = "\n".join(path.read_text() for path in BUILD.glob("*.d.ts"))
    for name, folder in SERVED.items():
        shutil.rmtree(BUILD / name, ignore_errors=True)
        (BUILD / name).mkdir()
        for path in (ROOT / folder).glob("*.js"):
            (BUILD / name / path.name).write_text(annotated(path.name, path.read_text(), types))
    return BUILD


def _install(folder: Path) -> None:
    """Install TypeScript as locked, unless this lock is installed."""
    lock = (folder / "package-lock.json").read_text()
    stamp = folder / "node_modules" / "installed"
    if stamp.exists() and stamp.read_text() == lock:
        return
    done = _run(folder, BIN / "npm", "ci", *OPTIONS)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason").splitlines()[0]
        raise NotInstalledError(f"npm could not install TypeScript: {reason}")
    stamp.write_text(lock)


def _run(folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}  # npm runs node
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def _say(text: str, code: int) -> int:
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
