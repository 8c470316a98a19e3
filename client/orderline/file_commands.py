"""The command that saves files."""

from __future__ import annotations

from pathlib import Path

import click

from orderline import Orderline, connect, files, terminal


@click.command("get-file")
@click.argument("reference", metavar="ORDER_OR_FILE_ID")
@click.option(
    "-o",
    "--output",
    metavar="PATH",
    help="Where to save: a file, a folder, or - for standard output. [default: this folder]",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@connect.client
def get_file(client: Orderline, reference: str, output: str | None, force: bool) -> None:
    """Save the files of an order's result, or one file by its id.

    Files get the names of the result, without any folders in them.
    """
    found = _files_of(client, reference)
    if output == "-":
        if len(found) > 1:
            raise click.UsageError(f"the result has {len(found)} files; save them in a folder")
        click.echo(client.download(found[0]), nl=False)
        return
    targets = _targets(found, output)
    existing = [path for path in targets if path.exists() or path.is_symlink()]
    if existing and not force:
        raise click.UsageError(f"{existing[0]} exists; use --force to replace it")
    for file, target in zip(found, targets, strict=True):
        with terminal.file_errors(), terminal.transfers() as progress:
            client.download(file, target, progress)
        click.echo(str(target))


def _files_of(client: Orderline, reference: str) -> list[files.FileReference]:
    """Return the distinct files of an order's result, or the file with this id."""
    if files.is_file_id(reference.lower()):
        return [{"file": reference.lower()}]
    order = client.get(client.find(reference))
    found: list[files.FileReference] = []
    for file in files.references(order.get("result")):
        if file not in found:
            found.append(file)
    if not found:
        reason = "has no files in its result" if order["done"] else "has no result yet"
        raise click.UsageError(f"order {order['id']} {reason}; its status is {order['status']}")
    return found


def _targets(found: list[files.FileReference], output: str | None) -> list[Path]:
    """Return the path to which to save each file."""
    folder = Path(output or ".")
    if folder.is_dir():
        return [folder / name for name in files.names(found)]
    if len(found) > 1:
        raise click.UsageError(f"the result has {len(found)} files; {output} is not a folder")
    return [folder]
