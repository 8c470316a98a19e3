"""Entry point of the command `orderline`, which needs the extra `cli`."""

from __future__ import annotations

import sys
from importlib.util import find_spec


def main() -> None:
    """Run the command, or say what to install for it."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        sys.exit(f"orderline: the command needs more packages: pip install {' '.join(missing)}")
    from orderline import commands

    commands.main(prog_name="orderline")


if __name__ == "__main__":
    main()
