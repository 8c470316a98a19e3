"""A clone with work of its own takes an upgrade, as docs/upgrade.md says, without a conflict."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dev.packaging.package import ROOT, template

GUIDE = (ROOT / "docs" / "upgrade.md").read_text()
LOCKS = {
    "requirements.txt",
    "requirements-lambda.txt",
    *(str(path.relative_to(ROOT)) for path in ROOT.glob("requirements/*.txt")),
}
OWN_TEST = "tests/tasks/test_name_weekday.py"
OWN_FILES = {
    "chalicelib/tasks/name_weekday.py": '''"""A task of our own, with a library of its own."""

from chalicelib.tasks import task


@task
def name_weekday(day: str) -> str:
    """Name the weekday of a date in almost any form."""
    from dateutil import parser

    return parser.parse(day).strftime("%A")
''',
    OWN_TEST: """def test_a_date_has_a_weekday(cloud):
    order = cloud.place("name_weekday", {"day": "31 January 2030"})
    cloud.drain()
    assert cloud.get(order["id"])["result"] == "Thursday"
""",
    ".chalice/branch.yaml": """Parameters:
  LogDays: {Default: 7}
Resources:
  OrderWorker: {Properties: {MemorySize: 2048}}
""",
}


class Repository:
    """A Git repository in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *words: str, succeeds: bool = True) -> str:
        return run(self.path, "git", *words, succeeds=succeeds)

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def edit(self, name: str, before: str, after: str) -> None:
        path = self.path / name
        text = path.read_text()
        assert before in text, f"{name} has no {before!r} any more: adapt this test"
        path.write_text(text.replace(before, after))

    def append(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    def template(self, stage: str) -> Any:
        """Package a stage's template with this repository's code."""
        program = (
            f"import json; from {template.__module__} import template;"
            f" print(json.dumps(template({stage!r})))"
        )
        return json.loads(run(self.path, sys.executable, "-c", program))


def run(folder: Path, *command: str, succeeds: bool = True) -> str:
    """Run a command and return its output; raises AssertionError if it fails and shouldn't."""
    identity = {
        f"GIT_{role}_{key}": value
        for role in ("AUTHOR", "COMMITTER")
        for key, value in (("NAME", "Ada"), ("EMAIL", "ada@example.org"))
    }
    settings = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true"}
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        command,
        cwd=folder,
        env={**inherited, **identity, **settings, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not succeeds, done.stdout
    return done.stdout


def commands(heading: str) -> list[list[str]]:
    """Return the lines of each block of commands in a section of docs/upgrade.md."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"^```\n(.*?)^```$", section, re.M | re.S)]


@pytest.fixture
def upstream(tmp_path: Path) -> Repository:
    """Return a repository with the project's files in one commit."""
    upstream = Repository(tmp_path / "upstream")
    upstream.path.mkdir()
    upstream.git("init", "--quiet", "--initial-branch", "main")
    upstream.git("--work-tree", str(ROOT), "add", "--all")
    upstream.git("commit", "--quiet", "--message", "One version")
    upstream.git("reset", "--quiet", "--hard")
    return upstream


@pytest.fixture
def clone(upstream: Repository, tmp_path: Path) -> Repository:
    """Return a clone with a task, a stage, a library, a setting and a test of its own."""
    clone = Repository(tmp_path / "clone")
    upstream.git("clone", "--quiet", str(upstream.path), str(clone.path))
    for name, text in OWN_FILES.items():
        clone.append(name, text)
    clone.append("requirements/own.in", "python-dateutil\n")
    for name in ("requirements-lambda.txt", "requirements/image.txt"):
        clone.append(name, f"python-dateutil==2.9.0.post0 \\\n    --hash=sha256:{'a' * 64}\n")
    clone.edit(
        ".chalice/prod.yaml", "\nParameters:\n", "\nParameters:\n  MaxReceives: {Default: 40}\n"
    )
    clone.commit("Our own work")
    return clone


def release(upstream: Repository) -> None:
    """Commit a later version: it changes code, resources, stages, libraries, tests and docs."""
    upstream.append("chalicelib/later.py", '"""A new module."""\n')
    upstream.append("app.py", "\nfrom chalicelib import later  # noqa\n")
    upstream.append("chalicelib/tasks/say_later.py", '"""A new example."""\n')
    upstream.append("tests/unit/test_later.py", "def test_nothing(): ...\n")
    upstream.edit(
        ".chalice/resources.yaml",
        "\nParameters:\n",
        "\nParameters:\n  Later: {Type: Number, Default: 1, Description: A new setting}\n",
    )
    upstream.edit(".chalice/config.json", '"lambda_memory_size": 512', '"lambda_memory_size": 640')
    upstream.append(".chalice/prod.yaml", "  OrderSweeper: {Properties: {MemorySize: 768}}\n")
    upstream.edit("requirements/lambda.in", "msgspec\n", "msgspec\nzstandard\n")
    for name in ("requirements-lambda.txt", "requirements/image.txt", "requirements.txt"):
        upstream.append(name, f"zstandard==0.25.0 \\\n    --hash=sha256:{'b' * 64}\n")
    for name in ("CHANGELOG.md", "README.md", "docs/settings.md", "docs/upgrade.md", "Makefile"):
        upstream.append(name, "\n# Later\n")
    upstream.commit("A later version")


def test_only_lock_files_conflict_and_the_clone_s_own_work_goes_on(
    upstream: Repository, clone: Repository
) -> None:
    once, merge, relock = commands("Merge")
    release(upstream)

    for line in once + merge:
        command = line.replace("<the address that you cloned from>", str(upstream.path))
        run(clone.path, "sh", "-c", command, succeeds=not command.startswith("git merge "))
    conflicts = clone.git("diff", "--name-only", "--diff-filter=U").split()
    assert conflicts, "both sides added a library"
    assert set(conflicts) <= LOCKS

    assert "make lock" in relock
    for line in relock:
        if line != "make lock":  # it needs the network
            run(clone.path, "sh", "-c", line)
    assert clone.git("status", "--porcelain") == ""
    assert "A later version" in clone.git("log", "--format=%s")

    branch, prod = clone.template("branch"), clone.template("prod")
    assert branch["Parameters"]["Later"]["Default"] == 1
    assert branch["Parameters"]["LogDays"]["Default"] == 7
    assert branch["Resources"]["OrderWorker"]["Properties"]["MemorySize"] == 2048
    assert branch["Resources"]["OrderSweeper"]["Properties"]["MemorySize"] == 640
    assert prod["Parameters"]["MaxReceives"]["Default"] == 40
    assert prod["Resources"]["OrderSweeper"]["Properties"]["MemorySize"] == 768
    output = run(clone.path, sys.executable, "-m", "pytest", "-q", OWN_TEST)
    assert "1 passed" in output
