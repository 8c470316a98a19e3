"""Known vulnerabilities in what the locks name: `python -m cli.audit LOCK ...`. Where nobody can be asked, it warns."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


def audit(lock: str) -> int:
    """Returns 1 for a known vulnerability, and 0 for none, or where none could be looked up: that is said."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--format",
        "json",
        "--progress-spinner",
        "off",
        "--disable-pip",
        "--require-hashes",
        "--requirement",
        lock,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return say(
            f"warning: {lock} was not audited: {(done.stderr.strip() or 'no reason').splitlines()[-1]}",
            0,
        )
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    if skipped:
        say(
            f"warning: {lock}: {len(skipped)} of {len(packages)} packages could not be looked up", 0
        )
    found = list(_faults(packages))
    return say(
        "\n".join([f"{lock}: {len(packages) - len(skipped)} packages audited", *found]),
        int(bool(found)),
    )


def _faults(packages: list[dict[str, Any]]) -> Iterator[str]:
    for each in packages:
        for fault in each.get("vulns", []):
            mended = ", ".join(fault["fix_versions"]) or "no version yet"
            yield f"  {each['name']} {each['version']}: {fault['id']}, mended in {mended}"


def say(text: str, code: int) -> int:
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(max(audit(lock) for lock in sys.argv[1:]))
