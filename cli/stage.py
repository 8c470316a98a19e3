"""The commands on a stage. Each imports what it needs, so that the others start fast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

_stage = click.option(
    "--stage", default="dev", show_default=True, help="A stage of .chalice/config.json."
)
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
@click.option(
    "--adopt",
    is_flag=True,
    envvar="ADOPT",
    help="Take up the tables that a stack left that is gone.",
)
@click.option(
    "--set",
    "given",
    multiple=True,
    envvar="SET",
    metavar="NAME=VALUE",
    help="A parameter of the template.",
)
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


@click.command("doctor")
@click.option(
    "--stage", help="A deployed stage; left out, the stack of `make run`, with `. .local/env`."
)
@click.option("--stack", "name", help="A deployed stack, by its name.")
def examine_stack(stage: str | None, name: str | None) -> None:
    """Say what is wrong with a stack that runs, and how to mend it. Changes nothing."""
    from cli.deploy import stack_name, whereabouts
    from cli.doctor import examine

    name = name or stack_name(stage or "dev")
    with _plain_faults():
        where, findings = whereabouts(), examine(name)
    for finding in findings:
        click.echo(f"{finding.fault}\n  mend: {finding.mend}")
    if findings:
        raise click.ClickException(f"{len(findings)} findings on {name} in {where}")
    click.echo(f"{name} in {where} is healthy")


@click.command("verify")
@_yes
def verify_stack(yes: bool) -> None:
    """Deploy a stack of its own, check and measure it, destroy it."""
    from cli.verify import verify

    with _plain_faults():
        verify(yes)


@contextmanager
def _plain_faults() -> Iterator[None]:
    """What can go wrong on the way to AWS, as one message instead of a traceback."""
    from botocore.exceptions import BotoCoreError, ClientError

    from cli.deploy import Refused
    from cli.formation import StackError
    from cli.package import PackageError

    try:
        yield
    except (Refused, StackError, PackageError, ClientError, BotoCoreError) as fault:
        raise click.ClickException(str(fault)) from fault


COMMANDS = (package_stage, deploy_stage, destroy_stage, examine_stack, verify_stack)
