"""The client as another project uses it: installed by pip, run in a folder of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.stack import ROOT, Stack, environment

pytestmark = pytest.mark.local

README = (ROOT / "client" / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


class OtherProject:
    """An empty folder, and a virtual environment in which a line of client/README.md was run."""

    def __init__(self, folder: Path, stack: Stack, install: str) -> None:
        self.stack = stack
        self.folder = folder / "empty"
        self.folder.mkdir()
        self.bin = folder / "venv" / "bin"
        subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
        done = self.run("sh", "-c", install.replace("./client", f"{stack.project}/client"))
        assert done.returncode == 0, done.stderr

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the empty folder, with the stack's URL and token in the environment."""
        variables = {"ORDERLINE_URL": self.stack.url, "ORDERLINE_TOKEN": self.stack.token}
        path = f"{self.bin}:/usr/bin:/bin"
        return subprocess.run(
            command,
            cwd=self.folder,
            env=environment(PATH=path, PIP_DISABLE_PIP_VERSION_CHECK="1", **variables),
            capture_output=True,
            text=True,
            check=False,
        )


def test_the_library_is_enough_for_the_lines_of_python(stack: Stack, tmp_path: Path) -> None:
    library, _ = blocks("sh")[0].splitlines()
    project = OtherProject(tmp_path, stack, library)
    lines = project.run("python", "-c", "".join(blocks("python")))
    command = project.run("orderline", "tasks")

    assert lines.returncode == 0, lines.stderr
    placed, result, refused, subject, box, many = lines.stdout.splitlines()
    assert placed.endswith(" PENDING")
    assert "'pieces': 6" in result
    assert "120" in refused
    assert subject == "Tea"
    assert box.endswith(" SUCCESS")
    assert many.startswith("['PENDING', RequestRejected(")
    assert (project.folder / "copy.eml").read_text().endswith("At 4?\n")
    assert (command.returncode, command.stderr) == (
        1,
        "orderline: the command needs more packages: pip install click rich\n",
    )


def test_with_its_extra_the_command_places_orders(stack: Stack, tmp_path: Path) -> None:
    _, command = blocks("sh")[0].splitlines()
    project = OtherProject(tmp_path, stack, command)
    (project.folder / "tea.eml").write_text("Subject: Tea\n\nAt 4?")
    pasted = blocks("sh")[1].replace("http://127.0.0.1:8000", stack.url)

    with_variables = project.run("sh", "-ec", pasted.replace("ol_...", stack.token))
    place = ("place", "cook_nuggets", "pieces=6", "--wait")
    with_options = project.run("orderline", "--url", stack.url, "--token", stack.token, *place)

    assert with_variables.returncode == 0, with_variables.stderr
    assert '"sauce": "curry"' in with_variables.stdout
    assert '"subject": "Tea"' in with_variables.stdout
    assert "waits for 1" in with_variables.stdout
    assert "2 placed, 0 refused" in with_variables.stdout
    assert with_options.returncode == 0, with_options.stderr
    assert '"pieces": 6' in with_options.stdout
