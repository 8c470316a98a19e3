"""`python -m tests.soak [SECONDS [SEED]]`: the long form of the soak, an hour by default."""

from __future__ import annotations

import secrets
import sys

from tests.soak.soak import soak


def main(arguments: list[str]) -> int:
    """Prints the seed first and the verdict last. Returns the exit code: 1 if a promise was broken."""
    seconds = float(arguments[0]) if arguments else 3600
    seed = int(arguments[1]) if arguments[1:] else secrets.randbelow(1_000_000)
    _say(f"soak of {seconds:.0f} s, seed {seed} ...")
    soaked = soak(seconds, seed)
    _say(str(soaked))
    return 1 if soaked.faults else 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
