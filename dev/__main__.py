"""Entry point of the command line: `python -m dev COMMAND`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from chalicelib.errors import SettingMistake
from dev import stage
from dev.packaging import PackageError

if TYPE_CHECKING:
    from dev.secrets import Deployed, Laptop
    from dev.tokens import Tokens
    from dev.webhooks import Webhooks


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run Orderline on this machine, deploy it to AWS, manage tokens and secrets."""
    from dev.packaging import own

    try:
        configuration = own.read()
    except PackageError as error:
        raise click.ClickException(str(error)) from error
    own.install(configuration, os.environ)  # commands import tasks, which name lanes


@main.command()
def run() -> None:
    """Run all of Orderline on this machine until Ctrl-C."""
    from dev.local.run import run as run_locally

    sys.exit(run_locally())


@main.group()
def token() -> None:
    """Manage access tokens.

    The commands use the local stack unless --stage or --stack names a deployed one.
    """


def _stack_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--stack", help="Name of a deployed stack.")(command)
    return click.option("--stage", help="Stage of a deployed stack, named orderline-STAGE.")(
        command
    )


@contextmanager
def _tokens(stack: str | None, stage: str | None) -> Iterator[Tokens]:
    from dev.tokens import Tokens
    from dev.tokens_table import TableError

    try:
        yield Tokens.of_stack(stack, stage)
    except (TableError, ValueError) as error:
        raise click.ClickException(str(error)) from error


@token.command("create")
@click.argument("owner")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["orders:read", "orders:write", "orders:admin"]),
    default=("orders:read", "orders:write"),
    help="Scope of the token; can be repeated. [default: orders:read and orders:write]",
)
@click.option("--admin", is_flag=True, help="Add orders:admin: the orders of all owners.")
@click.option(
    "--days",
    type=click.IntRange(1, 36500),
    help="Number of days until the token expires; without it, the token does not expire.",
)
@_stack_options
def create_token(
    owner: str,
    scopes: tuple[str, ...],
    admin: bool,
    days: int | None,
    stack: str | None,
    stage: str | None,
) -> None:
    """Create a token for OWNER; it is shown only once."""
    scopes = tuple(dict.fromkeys((*scopes, "orders:admin"))) if admin else scopes
    with _tokens(stack, stage) as tokens:
        text, record = tokens.create(owner, scopes, days)
        click.echo(text)
        click.echo(
            f"Created a token for {owner} in {tokens.stack}. It is shown only once;"
            f" to revoke it, use its id: {record.id}",
            err=True,
        )


@token.command("list")
@_stack_options
def list_tokens(stack: str | None, stage: str | None) -> None:
    """List all tokens: id, owner, state and scopes. Secrets are not stored."""
    from dev.tokens import state

    with _tokens(stack, stage) as tokens:
        for each in tokens.all():
            scopes = " ".join(sorted(each.scopes))
            click.echo(f"{each.id}  {each.owner:<40}  {state(each):<28}  {scopes}")


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@_stack_options
def revoke_token(token_id: str, stack: str | None, stage: str | None) -> None:
    """Revoke the token with this ID: the eight characters after `ol_`."""
    with _tokens(stack, stage) as tokens:
        revoked = tokens.revoke(token_id)
        click.echo(
            f"Revoked {token_id} of {revoked.owner}."
            " Functions may cache the token for up to a minute."
        )


@main.group()
def webhook() -> None:
    """Manage webhook endpoints: URLs that hear of the end of an owner's orders.

    The commands use the local stack unless --stage or --stack names a deployed one.
    """


def _endpoint_options(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option(
        "--name",
        default="main",
        show_default=True,
        help="Name of the endpoint; orders ask for it by this name.",
    )(_stack_options(command))
    return click.option("--owner", required=True, help="Owner of the orders.")(command)


@contextmanager
def _webhooks(stack: str | None, stage: str | None) -> Iterator[Webhooks]:
    from chalicelib.errors import DeliveryFailed
    from dev.tokens_table import TableError, connect
    from dev.webhooks import Webhooks

    try:
        yield Webhooks(connect(stack, stage))
    except (TableError, DeliveryFailed, ValueError) as error:
        raise click.ClickException(str(error)) from error


@webhook.command("add")
@click.option(
    "--url",
    required=True,
    help="Where to send: https://..., on a laptop also http://127.0.0.1:PORT.",
)
@click.option("--all", "hears_all", is_flag=True, help="Tell it of every order of the owner.")
@_endpoint_options
def add_webhook(
    owner: str, name: str, url: str, hears_all: bool, stack: str | None, stage: str | None
) -> None:
    """Register an endpoint; its signing secret is shown only once."""
    from dev.packaging import own

    with _webhooks(stack, stage) as webhooks:
        endpoint = webhooks.add(owner, url, name, hears_all)
        click.echo(endpoint.secrets[0].text)
        click.echo(
            f"Registered the endpoint {name} of {owner} in {webhooks.connection.stack}. Its signing"
            " secret is shown only once; the receiver needs it to verify deliveries.",
            err=True,
        )
        if webhooks.connection.is_local and own.read("dev").webhooks is None:
            click.echo(
                "Webhooks are off, so nothing is delivered yet: add `webhooks:` to orderline.yaml.",
                err=True,
            )


@webhook.command("list")
@_stack_options
def list_webhooks(stack: str | None, stage: str | None) -> None:
    """List all endpoints: owner, name, state and URL; never a secret."""
    from dev.webhooks import state

    with _webhooks(stack, stage) as webhooks:
        for each in webhooks.all():
            click.echo(f"{each.owner:<20}  {each.name:<20}  {state(each):<28}  {each.url}")


@webhook.command("rotate")
@_endpoint_options
def rotate_webhook(owner: str, name: str, stack: str | None, stage: str | None) -> None:
    """Give an endpoint a new signing secret; the one before signs beside it for 24 hours."""
    with _webhooks(stack, stage) as webhooks:
        click.echo(webhooks.rotate(owner, name).secrets[0].text)
        click.echo(
            "The new signing secret is shown only once. Deliveries are signed with both for 24"
            " hours; give the receiver the new one by then.",
            err=True,
        )


@webhook.command("remove")
@_endpoint_options
def remove_webhook(owner: str, name: str, stack: str | None, stage: str | None) -> None:
    """Remove an endpoint with its signing secret."""
    with _webhooks(stack, stage) as webhooks:
        webhooks.remove(owner, name)
        click.echo(f"Removed {name} of {owner}. Functions may use it for up to a minute.")


@webhook.command("test")
@_endpoint_options
def test_webhook(owner: str, name: str, stack: str | None, stage: str | None) -> None:
    """Send an event of the type webhook.test from this machine, and print the answer."""
    with _webhooks(stack, stage) as webhooks:
        status = webhooks.test(owner, name)
        click.echo(f"The receiver answered {status}.")
        sys.exit(0 if 200 <= status < 300 else 1)


@main.group()
def secret() -> None:
    """Manage the secrets of tasks, which orderline.yaml declares.

    The commands use the laptop's unless --stage names a deployed stage.
    """


_secret_stage = click.option("--stage", help="Stage of a deployed stack, named orderline-STAGE.")


@contextmanager
def _secrets(stage: str | None, name: str | None = None) -> Iterator[Deployed | Laptop]:
    from dev.secrets import SecretError, require_declared, secrets_of

    try:
        secrets = secrets_of(stage)
        if name:
            require_declared(secrets, name)
        yield secrets
    except (SecretError, PackageError) as error:
        raise click.ClickException(str(error)) from error


@secret.command("set")
@click.argument("name")
@_secret_stage
def set_secret(name: str, stage: str | None) -> None:
    """Store the secret NAME; asks for its value, or reads it from standard input."""
    with _secrets(stage, name) as secrets:
        terminal = sys.stdin.isatty()
        value = click.prompt(name, hide_input=True) if terminal else sys.stdin.read().rstrip("\r\n")
        if not value:
            raise click.ClickException(f"{name}: the value is empty; nothing was changed")
        secrets.set(name, value)
        click.echo(f"Stored {name}. Tasks see it within 5 minutes; new processes at once.")


@secret.command("list")
@_secret_stage
def list_secrets(stage: str | None) -> None:
    """List the declared secrets and whether they are stored; never their values."""
    with _secrets(stage) as secrets:
        for name, stored in secrets.all().items():
            state = f"stored, {stored.changed}" if stored.changed else "not stored"
            click.echo(f"{name:<30}  {stored.parameter:<45}  {state}")


@secret.command("delete")
@click.argument("name")
@_secret_stage
def delete_secret(name: str, stage: str | None) -> None:
    """Delete the stored value of the secret NAME."""
    with _secrets(stage, name) as secrets:
        secrets.delete(name)
        click.echo(f"Deleted {name}")


for _command in stage.COMMANDS:
    main.add_command(_command)


if __name__ == "__main__":
    try:
        main(prog_name="python -m dev")
    except SettingMistake as error:
        sys.exit(f"orderline: {error}")
