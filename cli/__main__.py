"""`python -m cli COMMAND`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from chalicelib.errors import SettingMistake
from cli import ordering, stage

if TYPE_CHECKING:
    from cli.tokens import Tokens


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Orderline on a laptop and on its way to AWS."""


@main.command()
def run() -> None:
    """The whole of Orderline on this machine, until Ctrl-C."""
    from cli.run import run as run_here

    sys.exit(run_here())


@main.group()
def token() -> None:
    """Access tokens. Without --stage or --stack they are those of the local stack."""


def _of_stack(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option("--stack", help="A deployed stack, by its name.")(command)
    return click.option("--stage", help="A deployed stack, by its stage: orderline-STAGE.")(command)


@contextmanager
def _tokens(stack: str | None, stage: str | None) -> Iterator[Tokens]:
    from cli.tokens import TokenError, Tokens

    try:
        yield Tokens.of_stack(stack, stage)
    except (TokenError, ValueError) as fault:
        raise click.ClickException(str(fault)) from fault


@token.command("create")
@click.argument("client")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["orders:read", "orders:write"]),
    default=("orders:read", "orders:write"),
    help="May be given twice; both if left out.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 36500),
    help="It expires after so many days; if left out, never.",
)
@_of_stack
def create_token(
    client: str, scopes: tuple[str, ...], days: int | None, stack: str | None, stage: str | None
) -> None:
    """Make a token for CLIENT, and show it: this once."""
    with _tokens(stack, stage) as tokens:
        text, made = tokens.create(client, scopes, days)
        click.echo(text)
        click.echo(
            f"a token of {client} in {tokens.stack}, shown this once; revoke it by its id, {made.id}",
            err=True,
        )


@token.command("list")
@_of_stack
def list_tokens(stack: str | None, stage: str | None) -> None:
    """All tokens: id, client, state, scopes. The secrets are nowhere."""
    from cli.tokens import state as state_of

    with _tokens(stack, stage) as tokens:
        for each in tokens.all():
            click.echo(
                f"{each.id}  {each.owner:<40}  {state_of(each):<28}  {' '.join(sorted(each.scopes))}"
            )


@token.command("revoke")
@click.argument("token_id", metavar="ID")
@_of_stack
def revoke_token(token_id: str, stack: str | None, stage: str | None) -> None:
    """Refuse the token with this id (the eight characters after `ol_`) from now on."""
    with _tokens(stack, stage) as tokens:
        revoked = tokens.revoke(token_id)
        click.echo(
            f"{token_id} of {revoked.owner} is revoked; functions may remember it for up to a minute"
        )


for _command in (*ordering.COMMANDS, *stage.COMMANDS):
    main.add_command(_command)


if __name__ == "__main__":
    try:
        main(prog_name="python -m cli")
    except SettingMistake as fault:
        sys.exit(f"orderline: {fault}")
