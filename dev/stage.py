"""Commands that work on a stage. Each imports what it needs, so that the others start fast."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

_stage = click.option(
    "--stage",
    default="dev",
    show_default=True,
    help="dev, prod, or one with a file .chalice/STAGE.yaml.",
)
_yes = click.option("--yes", is_flag=True, envvar="YES", help="Do not ask for confirmation.")


@click.command("package")
@_stage
def package_stage(stage: str) -> None:
    """Build the template and the zip of a stage in build/<stage>/out."""
    from dev.packaging.package import contents, package

    with _report_errors():
        click.echo(contents(package(stage).zip))


@click.command("config")
def create_config() -> None:
    """Create orderline.yaml, your own configuration, from a commented example."""
    from dev.packaging import own

    with _report_errors():
        own.create()
    click.echo(f"created {own.NAME}; uncomment what you need")


@click.command("deploy")
@_stage
@_yes
@click.option(
    "--adopt",
    is_flag=True,
    envvar="ADOPT",
    help="Import the tables and files that a deleted stack retained.",
)
@click.option(
    "--drop-messages",
    is_flag=True,
    envvar="DROP_MESSAGES",
    help="Delete queues of removed lanes with their messages; the sweeper sends the orders again.",
)
@click.option(
    "--change-address",
    is_flag=True,
    envvar="CHANGE_ADDRESS",
    help="With --yes: change the front too, and so the address that clients use.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    envvar="SET",
    metavar="NAME=VALUE",
    help="Set a parameter of the template; can be repeated.",
)
def deploy_stage(
    stage: str,
    yes: bool,
    adopt: bool,
    drop_messages: bool,
    change_address: bool,
    settings: tuple[str, ...],
) -> None:
    """Create or update a stage's stack on AWS, after confirmation."""
    from dev.deploy.deploy import deploy
    from dev.packaging.own import variables_of

    pairs = [text.partition("=") for text in settings]
    if invalid := [name for name, equals, _ in pairs if not equals]:
        raise click.ClickException(f"--set {invalid[0]}: must be NAME=VALUE")
    with _report_errors():
        os.environ.update(variables_of(stage))  # tasks that only this stage's lanes allow
        parameters = {name: value for name, _, value in pairs}
        deploy(stage, parameters, yes, adopt, drop_messages, change_address)


@click.command("destroy")
@_stage
@_yes
def destroy_stage(stage: str, yes: bool) -> None:
    """Delete a stage's stack, after confirmation."""
    from dev.deploy.deploy import destroy

    with _report_errors():
        destroy(stage, yes)


@click.command("doctor")
@click.option(
    "--stage",
    help="Deployed stage. [default: the stack of `make run`, after `. .local/env`]",
)
@click.option("--stack", "name", help="Name of a deployed stack.")
def examine_stack(stage: str | None, name: str | None) -> None:
    """Check a running stack, and print problems and their fixes. Changes nothing."""
    from dev.deploy.deploy import stack_name, whereabouts
    from dev.doctor import examine

    name = name or stack_name(stage or "dev")
    with _report_errors():
        where = whereabouts()
        findings = examine(name)
    for finding in findings:
        click.echo(f"{finding.problem}\n  fix: {finding.fix}")
    if findings:
        count = "1 problem" if len(findings) == 1 else f"{len(findings)} problems"
        raise click.ClickException(f"found {count} in {name} in {where}")
    click.echo(f"{name} in {where} is healthy")


@click.command("verify")
@_yes
@click.option(
    "--front",
    type=click.Choice(["rest", "http", "url"]),
    default="rest",
    show_default=True,
    envvar="FRONT",
    help="What calls the HTTP function: see docs/fronts.md.",
)
def verify_stack(yes: bool, front: str) -> None:
    """Deploy a separate stack, check and measure it, and destroy it."""
    from dev.verify.verify import verify

    with _report_errors():
        verify(yes, front=front)


@contextmanager
def _report_errors() -> Iterator[None]:
    """Report expected errors by one message instead of a traceback."""
    from botocore.exceptions import BotoCoreError, ClientError

    from dev.deploy.deploy import DeployAborted
    from dev.deploy.formation import StackError
    from dev.packaging import PackageError

    try:
        yield
    except (DeployAborted, StackError, PackageError, ClientError, BotoCoreError) as error:
        raise click.ClickException(str(error)) from error


COMMANDS = (create_config, package_stage, deploy_stage, destroy_stage, examine_stack, verify_stack)
