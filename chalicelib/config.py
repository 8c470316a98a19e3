"""Settings: everything that differs between a laptop, a test and AWS, read from the environment in one place.

Every setting has a default, so that `import app` needs no environment. docs/settings.md lists them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from chalicelib.errors import SettingMistake

MAX_WAIT_S = 25  # an integration ends after 29: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MAX_VISIBILITY_S = 12 * 3600  # SQS hides a message no longer


@dataclass(frozen=True)
class Settings:
    """One field is one environment variable of the same name in capitals. Durations are in seconds."""

    stack: str = "orderline-dev"
    """Tables and queues are named after it: see `orders_table` and the other properties."""
    queue_url: str = ""
    """The orders queue; empty: asked from SQS by its name, once."""
    access: str = "open"
    """`token`: every request needs an access token. `open`: requests without one belong to the client `local`."""
    public_url: str = ""
    """What links begin with; empty: made from the request's own Host."""
    max_input_bytes: int = 65536
    max_result_bytes: int = 65536
    grace_s: int = 120
    """How long an order may wait, unclaimed, before the sweeper looks at it."""
    keep_s: int = 7 * 86400
    """How long a final order is kept."""
    give_up_s: int = 4 * 86400
    """An order that could run for so long and did not end fails; must exceed any backlog that is to be served."""
    periodic_client: str = "periodic"
    """The client whom orders of periodic tasks belong to."""
    worker_timeout_s: int = 60
    """The worker function's own timeout: no task's timeout_s may exceed it."""
    max_receives: int = 30
    """The queue's maxReceiveCount: no task's max_attempts may reach it."""
    board_keep_s: int = 300
    """How long the board shows an order after its end."""
    max_wait_s: int = 20
    """How long an answer is held back at most for a client that prefers to wait; 0: not at all."""
    cors_origins: str = ""
    """Origins whose pages may call the API from a browser, with spaces between; empty: none."""
    cursor_key: str = ""
    """What the cursors of lists are signed with; the template gives the stack's id."""
    list_shards: int = 1
    """Partitions of a client's list, a thousand new orders a second each. May only grow."""
    due_shards: int = 1
    aws_calls: str = ""
    """`direct`: signed by the app itself; `sdk`: botocore; empty: direct in Lambda, sdk elsewhere."""

    @property
    def orders_table(self) -> str:
        return f"{self.stack}-orders"

    @property
    def tokens_table(self) -> str:
        return f"{self.stack}-tokens"

    @property
    def orders_queue(self) -> str:
        return f"{self.stack}-orders"

    @property
    def dead_queue(self) -> str:
        return f"{self.stack}-dead"


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from an environment. Raises SettingMistake that names the variable and what it may hold."""
    values: dict[str, str | int] = {}
    for field in fields(Settings):
        name = field.name.upper()
        text = environ.get(name, "")
        if not text:
            continue
        if field.type == "int" and not text.isdigit():
            raise SettingMistake(f"{name}={text!r}: a whole number is needed")
        values[field.name] = int(text) if field.type == "int" else text
    settings = Settings(**values)  # type: ignore[arg-type]
    return _checked(settings, in_lambda=bool(environ.get("AWS_LAMBDA_FUNCTION_NAME")))


def _checked(settings: Settings, in_lambda: bool) -> Settings:
    if settings.access not in ("open", "token"):
        raise SettingMistake(f"ACCESS={settings.access!r}: it is `token` or `open`")
    if settings.aws_calls not in ("", "direct", "sdk"):
        raise SettingMistake(f"AWS_CALLS={settings.aws_calls!r}: it is `direct` or `sdk`")
    if in_lambda and settings.access == "open":
        raise SettingMistake("ACCESS is open: in Lambda it must be `token`, or everybody could place orders")
    if settings.max_wait_s > MAX_WAIT_S:
        raise SettingMistake(f"MAX_WAIT_S={settings.max_wait_s}: at most {MAX_WAIT_S}, API Gateway waits no longer")
    if settings.list_shards < 1 or settings.due_shards < 1:
        raise SettingMistake("LIST_SHARDS and DUE_SHARDS are at least 1")
    return settings


def cloud(environ: Mapping[str, str]) -> str | None:
    """Why no AWS client may be made here, or None if it may.

    Nobody's real account is reached by accident: outside Lambda either AWS_ENDPOINT_URL says where the cloud is (the
    local cloud), or the environment's credentials are such as no account has, as under moto. Profiles are never read.
    Keys of real accounts begin with AKIA or ASIA:
    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
    """
    if environ.get("AWS_LAMBDA_FUNCTION_NAME") or environ.get("AWS_ENDPOINT_URL"):
        return None
    key = environ.get("AWS_ACCESS_KEY_ID", "")
    if key and not key.startswith(("AKIA", "ASIA")):
        return None
    return "no cloud is set here: type `make run`, or with the local cloud running `. .local/env`"


def signs_itself(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether calls to AWS go without botocore: see direct.py. Outside Lambda moto must see them, and it sees botocore
    alone."""
    return (settings.aws_calls or ("direct" if environ.get("AWS_LAMBDA_FUNCTION_NAME") else "sdk")) == "direct"


def region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"


SETTINGS = read(os.environ)
ENVIRON: Mapping[str, str] = os.environ
