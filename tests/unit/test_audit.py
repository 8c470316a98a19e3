"""`make check` fails for known vulnerabilities, and only warns when no index can be reached."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dev.packaging.package import ROOT

SOUND = {"name": "chalice", "version": "1.33.0", "vulns": []}
UNKNOWN = {"name": "chalice", "skip_reason": "no index"}
FAULTY = {
    "name": "chalice",
    "version": "1.0.0",
    "vulns": [{"id": "CVE-1", "fix_versions": ["1.1.0"]}],
}


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        (json.dumps({"dependencies": [SOUND]}), 0, "1 packages audited"),
        (json.dumps({"dependencies": [SOUND, FAULTY]}), 1, "chalice 1.0.0: CVE-1, fixed in 1.1.0"),
        (
            json.dumps({"dependencies": [UNKNOWN]}),
            0,
            "warning: some.txt: 1 of 1 packages could not be looked up",
        ),
        ("", 0, "warning: some.txt was not audited: no network"),
    ],
)
def test_an_audit_fails_only_for_a_known_vulnerability(
    tmp_path: Path, answer: str, code: int, message: str
) -> None:
    (tmp_path / "pip_audit.py").write_text(
        f"import sys\nsys.stderr.write('no network')\nprint({answer!r})\n"
    )

    process = subprocess.run(
        [sys.executable, "-m", "dev.audit", "some.txt"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )

    assert (process.returncode, message in process.stdout) == (code, True), process
