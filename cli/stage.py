"""The commands on a stage: package, deploy, destroy. Each imports what it needs, so that the others start fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

_stage = click.option("--stage", default="dev", show_default=True, help="A stage of .chalice/config.json.")
_yes = click.option("--yes", is_flag=True, envvar="YES", help="Don't ask.")


@click.command("package")
@_stage
def package_stage(stage: str) -> None:
    """Make the template and the zip of a stage, in build/<stage>/out."""
    from cli.package import contents, package

    with _plain_faults():
        click.echo(contents(package(stage).zip))


@click.command("deploy")
@_stage
@_yes
@click.option("--adopt", is_flag=True, envvar="ADOPT", help="Take up the tables that a stack left that is gone.")
@click.option("--set", "given", multiple=True, envvar="SET", metavar="NAME=VALUE", help="A parameter of the template.")
def deploy_stage(stage: str, yes: bool, adopt: bool, given: tuple[str, ...]) -> None:
    """Make or change a stage's stack on AWS, once its changes are agreed to."""
    from cli.deploy import deploy

    pairs = [text.partition("=") for text in given]
    if bad := [name for name, equals, _ in pairs if not equals]:
        raise click.ClickException(f"--set {bad[0]}: it is NAME=VALUE")
    with _plain_faults():
        deploy(stage, {name: value for name, _, value in pairs}, yes, adopt)


@click.command("destroy")
@_stage
@_yes
def destroy_stage(stage: str, yes: bool) -> None:
    """Delete a stage's stack."""
    from cli.deploy import destroy

    with _plain_faults():
        destroy(stage, yes)


@contextmanager
def _plain_faults() -> Iterator[None]:
    """What can go wrong on the way to AWS, as one message instead of a traceback."""
    from botocore.exceptions import BotoCoreError, ClientError

    from cli.deploy import Refused
    from cli.package import PackageError
    from cli.stack import StackError

    try:
        yield
    except (Refused, StackError, PackageError, ClientError, BotoCoreError) as fault:
        raise click.ClickException(str(fault)) from fault
