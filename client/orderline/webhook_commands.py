"""Commands for who receives webhooks."""

from __future__ import annotations

import click


@click.group()
def webhook() -> None:
    """Receive webhooks."""


@webhook.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9000,
    show_default=True,
    help="Port of 127.0.0.1; 0 selects a free one.",
)
@click.option(
    "--secret",
    "secrets",
    envvar="ORDERLINE_WEBHOOK_SECRET",
    multiple=True,
    required=True,
    help="Signing secret of the endpoint; can be repeated. [default: ORDERLINE_WEBHOOK_SECRET]",
)
def listen(port: int, secrets: tuple[str, ...]) -> None:
    """Print each delivery that arrives, verified or why not, until Ctrl-C.

    Every delivery is answered with 204. Register http://127.0.0.1:9000/ as an endpoint of the stack
    that `make run` started; no other stack can reach this machine.
    """
    from orderline.listen import Listener
    from orderline.webhooks import key_of

    try:
        for secret in secrets:
            key_of(secret)
        server = Listener(port, secrets, click.echo)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"can't listen on port {port}: {error.strerror}; choose another one with --port"
        ) from None
    with server:
        click.echo(f"Listening on {server.url} until Ctrl-C.", err=True)
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            return
