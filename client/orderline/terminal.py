"""Show progress bars and file errors."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import click

from orderline.transfer import Progress

BAR_BYTES = 2_000_000  # smaller files get no bar


@contextmanager
def transfers() -> Iterator[Progress | None]:
    """Show a bar for each large file on standard error if it is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    with ExitStack() as stack:
        bars: Progress | None = None

        def report(name: str, done: int, size: int) -> None:
            nonlocal bars
            if size < BAR_BYTES:
                return
            if bars is None:
                from orderline import show

                bars = stack.enter_context(show.transfer_bars())
            bars(name, done, size)

        yield report


@contextmanager
def counting(label: str, total: int) -> Iterator[Callable[[int], None] | None]:
    """Show a bar of orders on standard error, until the block ends, if it is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task(label, total=total)
        yield lambda count: bar.update(row, completed=count)


@contextmanager
def file_errors() -> Iterator[None]:
    """Report a file that can't be read or written as wrong usage."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        message = f"{error.filename}: {reason}" if error.filename else reason
        raise click.UsageError(message) from None
