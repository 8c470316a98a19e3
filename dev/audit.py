"""Look for known vulnerabilities of locked packages: `python -m dev.audit LOCK ...`.

A lock that could not be audited, for example without a network, is a warning.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any


def audit(lock: str) -> int:
    """Return 1 if the lock has a known vulnerability, else 0; warn if the lookup failed."""
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
        reason = (done.stderr.strip() or "no reason").splitlines()[-1]
        return say(f"warning: {lock} was not audited: {reason}", 0)
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    if skipped:
        say(
            f"warning: {lock}: {len(skipped)} of {len(packages)} packages could not be looked up", 0
        )
    vulnerabilities = list(_vulnerabilities(packages))
    return say(
        "\n".join([f"{lock}: {len(packages) - len(skipped)} packages audited", *vulnerabilities]),
        int(bool(vulnerabilities)),
    )


def _vulnerabilities(packages: list[dict[str, Any]]) -> Iterator[str]:
    for each in packages:
        for vulnerability in each.get("vulns", []):
            versions = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            yield f"  {each['name']} {each['version']}: {vulnerability['id']}, fixed in {versions}"


def say(text: str, code: int) -> int:
    sys.stdout.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(max(audit(lock) for lock in sys.argv[1:]))
