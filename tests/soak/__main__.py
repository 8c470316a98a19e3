"""`python -m tests.soak [SECONDS [SEED]]`: the long form of the soak, an hour by default."""

from __future__ import annotations

import secrets
import sys

from tests.soak.soak import soak


def main(arguments: list[str]) -> int:
    """Run the soak and print its seed first; return the exit code, 1 if a promise was broken."""
    seconds = float(arguments[0]) if arguments else 3600
    seed = int(arguments[1]) if arguments[1:] else secrets.randbelow(1_000_000)
    _print(f"soak of {seconds:.0f} s, seed {seed} ...")
    outcome = soak(seconds, seed)
    _print(str(outcome))
    return 1 if outcome.violations else 0


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
