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
from dev.packaging.wheels import package_locks

GUIDE = (ROOT / "docs" / "upgrade.md").read_text()
# This test runs in clones too
THE_USERS = (
    "orderline.yaml",
    "requirements/own.txt",
    *("chalicelib/tasks", ":!chalicelib/tasks/__init__.py", ":!chalicelib/tasks/examples"),
    *("tests/tasks", ":!tests/tasks/__init__.py", ":!tests/tasks/examples"),
)
OWN_TEST = "tests/tasks/test_own.py"
OWN_FILES = {
    "chalicelib/tasks/name_weekday.py": '''"""A task with a library and a lane of ours."""

from chalicelib.tasks import task


@task(lane="heavy")
def name_weekday(day: str) -> str:
    """Name the weekday of a date in almost any form."""
    from dateutil import parser

    return parser.parse(day).strftime("%A")
''',
    "chalicelib/tasks/kitchen/__init__.py": '''"""A task with the name of a later example."""

from chalicelib.tasks import task


@task
def say_later() -> str:
    """Say something of our own."""
    return "ours"
''',
    OWN_TEST: """import pytest


@pytest.mark.parametrize(
    ("task", "input", "result"),
    [("name_weekday", {"day": "31 January 2030"}, "Thursday"), ("say_later", {}, "ours")],
)
def test_a_task_of_ours(cloud, task, input, result):
    order = cloud.place(task, input)
    cloud.drain()
    assert cloud.get(order["id"])["result"] == result
""",
    "orderline.yaml": """lanes:
  heavy: {memory_mb: 3008, timeout_s: 300}
environment: {GREETING: hello}
stages:
  prod:
    parameters: {MaxReceives: 40}
    resources:
      OrderSweeper: {Properties: {Timeout: 50}}
""",
    ".chalice/branch.yaml": """Parameters:
  LogDays: {Default: 7}
Resources:
  OrderWorker: {Properties: {MemorySize: 2048}}
""",
    "requirements/own.in": "python-dateutil\n",
    "requirements/own.txt": f"python-dateutil==2.9.0.post0 \\\n    --hash=sha256:{'a' * 64}\n",
}


class Repository:
    """A Git repository in a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def git(self, *words: str) -> str:
        return run(self.path, "git", *words)

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


def run(folder: Path, *command: str) -> str:
    """Run a command and return its output; raises AssertionError if it fails."""
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
    assert done.returncode == 0, done.stdout
    return done.stdout


def commands(heading: str) -> list[list[str]]:
    """Return the lines of each block of commands in a section of docs/upgrade.md."""
    section = GUIDE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [block.splitlines() for block in re.findall(r"^```\n(.*?)^```$", section, re.M | re.S)]


@pytest.fixture
def upstream(tmp_path: Path) -> Repository:
    """Return a repository with the project's files, but its user's own, in one commit."""
    upstream = Repository(tmp_path / "upstream")
    upstream.path.mkdir()
    upstream.git("init", "--quiet", "--initial-branch", "main")
    upstream.git("--work-tree", str(ROOT), "add", "--all")
    upstream.git("rm", "--quiet", "-r", "--cached", "--ignore-unmatch", "--", *THE_USERS)
    upstream.git("commit", "--quiet", "--message", "One version")
    upstream.git("reset", "--quiet", "--hard")
    (upstream.path / "requirements" / "own.in").write_text("# One a line\n")
    upstream.commit("No library of a user's")
    return upstream


@pytest.fixture
def clone(upstream: Repository, tmp_path: Path) -> Repository:
    """Return a clone with tasks, tests, a configuration, a stage and a library of its own."""
    clone = Repository(tmp_path / "clone")
    upstream.git("clone", "--quiet", str(upstream.path), str(clone.path))
    for name, text in OWN_FILES.items():
        clone.append(name, text)
    clone.commit("Our own work")
    return clone


def change_the_app(upstream: Repository) -> None:
    upstream.append("chalicelib/later.py", '"""A new module."""\n')
    upstream.append("app.py", "\nfrom chalicelib import later  # noqa\n")


def add_an_example(upstream: Repository) -> None:
    upstream.append(
        "chalicelib/tasks/examples/say_later.py",
        "from chalicelib.tasks import task\n\n\n@task\ndef say_later():\n    return 'theirs'\n",
    )
    upstream.append("tests/tasks/examples/test_say_later.py", "def test_nothing(): ...\n")


def remove_an_example(upstream: Repository) -> None:
    (upstream.path / "chalicelib/tasks/examples/classify_image.py").unlink()
    (upstream.path / "tests/tasks/examples/test_classify_image.py").unlink()


def add_a_parameter(upstream: Repository) -> None:
    upstream.edit(
        ".chalice/resources.yaml",
        "\nParameters:\n",
        "\nParameters:\n  Later: {Type: Number, Default: 1, Description: A new setting}\n",
    )


def change_stages(upstream: Repository) -> None:
    upstream.edit(".chalice/config.json", '"lambda_memory_size": 512', '"lambda_memory_size": 640')
    upstream.append(".chalice/prod.yaml", "  OrderSweeper: {Properties: {MemorySize: 768}}\n")


def add_a_library(upstream: Repository) -> None:
    upstream.edit("requirements/lambda.in", "msgspec\n", "msgspec\nzstandard\n")
    for path in ("requirements-lambda.txt", "requirements/local.txt", "requirements.txt"):
        upstream.append(path, f"zstandard==0.25.0 \\\n    --hash=sha256:{'b' * 64}\n")


def upgrade_libraries(upstream: Repository) -> None:
    for lock in (
        "requirements-lambda.txt",
        *upstream.git("ls-files", "requirements/*.txt").split(),
    ):
        text = (upstream.path / lock).read_text()
        (upstream.path / lock).write_text(text.replace("--hash=sha256:a", "--hash=sha256:b"))


def change_configurations(upstream: Repository) -> None:
    for name in ("Makefile", "pyproject.toml", ".gitignore", "dev/packaging/orderline.yaml"):
        upstream.append(name, "\n# Later\n")


def change_documents(upstream: Repository) -> None:
    for path in upstream.path.rglob("*.md"):
        upstream.append(str(path.relative_to(upstream.path)), "\n# Later\n")


def change_every_file(upstream: Repository) -> None:
    """Add an empty line to all text files but the one that is promised to stay."""
    for name in upstream.git("ls-files", "--eol").splitlines():
        kind, _, path = name.partition("\t")
        if "-text" not in kind and path != "requirements/own.in":
            upstream.append(path, "\n")


RELEASES = (
    change_the_app,
    add_an_example,
    remove_an_example,
    add_a_parameter,
    change_stages,
    add_a_library,
    upgrade_libraries,
    change_configurations,
    change_documents,
    change_every_file,
)


def test_ten_later_commits_merge_without_a_conflict_and_the_clone_s_own_work_goes_on(
    upstream: Repository, clone: Repository
) -> None:
    once, merge = commands("Merge")[:2]
    for release in RELEASES:
        release(upstream)
        upstream.commit(release.__name__)

    for line in once + merge:
        command = line.replace("<the address that you cloned from>", str(upstream.path))
        run(clone.path, "sh", "-c", command)

    assert clone.git("status", "--porcelain") == ""
    assert clone.git("rev-list", "--count", "HEAD^1..HEAD^2").strip() == str(len(RELEASES))
    for name, text in OWN_FILES.items():
        assert (clone.path / name).read_text().endswith(text)
    assert package_locks(clone.path)[1:] == [clone.path / "requirements" / "own.txt"]

    branch, prod = clone.template("branch"), clone.template("prod")
    assert branch["Parameters"]["Later"]["Default"] == 1
    assert branch["Parameters"]["LogDays"]["Default"] == 7
    assert branch["Resources"]["OrderWorker"]["Properties"]["MemorySize"] == 2048
    assert branch["Resources"]["OrderSweeper"]["Properties"]["MemorySize"] == 640
    assert branch["Resources"]["HeavyOrderWorker"]["Properties"]["MemorySize"] == 3008
    assert prod["Parameters"]["MaxReceives"]["Default"] == 40
    sweeper = prod["Resources"]["OrderSweeper"]["Properties"]
    assert (sweeper["MemorySize"], sweeper["Timeout"]) == (768, 50)
    output = run(clone.path, sys.executable, "-m", "pytest", "-q", OWN_TEST)
    assert "2 passed" in output
