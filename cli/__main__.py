"""`python -m cli COMMAND`."""

from __future__ import annotations

import sys

import click

from chalicelib.errors import SettingMistake
from cli.package import PackageError, contents, package


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Orderline on a laptop and on its way to AWS."""


@main.command()
def run() -> None:
    """The whole of Orderline on this machine, until Ctrl-C."""
    from cli.run import run as run_here

    sys.exit(run_here())


@main.command("package")
@click.option("--stage", default="dev", show_default=True, help="A stage of .chalice/config.json.")
def package_stage(stage: str) -> None:
    """Make the template and the zip of a stage, in build/<stage>/out."""
    try:
        made = package(stage)
    except PackageError as fault:
        raise click.ClickException(str(fault)) from fault
    click.echo(contents(made.zip))


if __name__ == "__main__":
    try:
        main(prog_name="python -m cli")
    except SettingMistake as fault:
        sys.exit(f"orderline: {fault}")
