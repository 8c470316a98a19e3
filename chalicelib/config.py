"""Settings: everything that differs between a laptop, a test and AWS, read from the environment in one place.

Every setting has a default, so that `import app` needs no environment. docs/settings.md lists them. They are read when
asked for, so a variable that a test sets takes effect at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from chalicelib.errors import SettingMistake

MAX_WAIT_S = 25  # an integration ends after 29: https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MAX_ROW_BYTES = (
    409_600  # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
)
ROW_RESERVE_BYTES = (
    106_496  # of a row for the links to follow-ups (94,500), the history and the error
)
MAX_VISIBILITY_S = (
    11 * 3600
)  # SQS counts 12 hours from the receive: the attempt before, 15 minutes at most, counts too


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
    resend_after_s: int = 120
    """How long an order may wait, unclaimed, before the sweeper looks at it."""
    retention_s: int = 7 * 86400
    """How long a final order is kept."""
    max_age_s: int = 4 * 86400
    """An order that could run for so long and did not end fails; must exceed any backlog that is to be served."""
    periodic_owner: str = "periodic"
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
    dns_suffix: str = ""
    """Domain of AWS's endpoints, `AWS::URLSuffix` in the template; empty: that of the region's partition, aws or cn."""
    aws_transport: str = ""
    """`sigv4`: signed by the app itself; `botocore`; empty: sigv4 in Lambda, botocore elsewhere."""

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
    for each in fields(Settings):
        name = each.name.upper()
        text = environ.get(name, "")
        if not text:
            continue
        if each.type == "int" and not text.isdigit():
            raise SettingMistake(f"{name}={text!r}: a whole number is needed")
        values[each.name] = int(text) if each.type == "int" else text
    settings = Settings(**values)  # type: ignore[arg-type]
    return _checked(settings, in_lambda=bool(environ.get("AWS_LAMBDA_FUNCTION_NAME")))


def _checked(settings: Settings, in_lambda: bool) -> Settings:
    if settings.access not in ("open", "token"):
        raise SettingMistake(f"ACCESS={settings.access!r}: it is `token` or `open`")
    if settings.aws_transport not in ("", "sigv4", "botocore"):
        raise SettingMistake(
            f"AWS_TRANSPORT={settings.aws_transport!r}: it is `sigv4` or `botocore`"
        )
    if in_lambda and settings.access == "open":
        raise SettingMistake(
            "ACCESS is open: in Lambda it must be `token`, or everybody could place orders"
        )
    if settings.max_wait_s > MAX_WAIT_S:
        raise SettingMistake(
            f"MAX_WAIT_S={settings.max_wait_s}: at most {MAX_WAIT_S}, API Gateway waits no longer"
        )
    stored, limit = (
        settings.max_input_bytes + settings.max_result_bytes,
        MAX_ROW_BYTES - ROW_RESERVE_BYTES,
    )
    if stored > limit:
        raise SettingMistake(
            f"MAX_INPUT_BYTES + MAX_RESULT_BYTES = {stored}: at most {limit}, both are in one row"
        )
    if settings.list_shards < 1 or settings.due_shards < 1:
        raise SettingMistake("LIST_SHARDS and DUE_SHARDS are at least 1")
    return settings


@dataclass(frozen=True)
class Aws:
    """Where AWS is and which credentials to use there: everything that an AWS client is made from."""

    in_lambda: bool
    region: str
    dynamodb_url: str
    """Endpoint of DynamoDB; empty: the region's own."""
    sqs_url: str
    dns_suffix: str
    sigv4: bool
    """Sign calls in direct.py instead of going through botocore. Moto sees botocore alone, hence the default."""
    key_id: str
    secret: str = field(repr=False)
    session_token: str = field(repr=False)

    def endpoint(self, service: str) -> str:
        """Return the configured endpoint of `dynamodb` or `sqs`, or an empty string for the region's own."""
        return self.dynamodb_url if service == "dynamodb" else self.sqs_url

    def missing(self, service: str) -> str | None:
        """Return why no client of this service may be made here, or None if it may.

        Nobody's real account is reached by accident: outside Lambda, either an endpoint is configured (the local
        cloud) or the credentials are such as no account has, as under moto. Profiles are never read. Access keys of
        real accounts begin with AKIA or ASIA:
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
        """
        fake = self.key_id and not self.key_id.startswith(("AKIA", "ASIA"))
        if self.in_lambda or self.endpoint(service) or fake:
            return None
        return "no cloud is configured here: run `make run`, or `. .local/env` while the local cloud runs"


def read_aws(environ: Mapping[str, str], settings: Settings) -> Aws:
    """Return how AWS is reached from an environment; variables as in botocore.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    in_lambda = bool(environ.get("AWS_LAMBDA_FUNCTION_NAME"))
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    shared_url = environ.get("AWS_ENDPOINT_URL", "")
    return Aws(
        in_lambda=in_lambda,
        region=region,
        dynamodb_url=environ.get("AWS_ENDPOINT_URL_DYNAMODB") or shared_url,
        sqs_url=environ.get("AWS_ENDPOINT_URL_SQS") or shared_url,
        dns_suffix=settings.dns_suffix
        or ("amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"),
        sigv4=(settings.aws_transport or ("sigv4" if in_lambda else "botocore")) == "sigv4",
        key_id=environ.get("AWS_ACCESS_KEY_ID", ""),
        secret=environ.get("AWS_SECRET_ACCESS_KEY", ""),
        session_token=environ.get("AWS_SESSION_TOKEN", ""),
    )


_AWS_VARIABLES = (
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_SQS",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)
VARIABLES = (*(each.name.upper() for each in fields(Settings)), *_AWS_VARIABLES)


@dataclass(frozen=True)
class _Reading:
    """What was read, and the environment that it was read from."""

    environment: Mapping[Any, str | bytes]
    values: tuple[str | None, ...]
    settings: Settings
    aws: Aws


_last: _Reading | None = None


def _reading() -> _Reading:
    """Return the last reading, or a new one if the environment has changed: a test may set a variable at any time.

    Comparing the raw mapping takes under a microsecond; `os.environ == copy` would decode every entry. A change
    elsewhere (Lambda sets a trace id for each invocation) keeps the same objects, so clients made from them stay.
    """
    global _last  # noqa: PLW0603
    raw = getattr(os.environ, "_data", os.environ)
    if _last is None or raw != _last.environment:
        values = tuple(map(os.environ.get, VARIABLES))
        if _last is None or values != _last.values:
            settings = read(os.environ)
            _last = _Reading(dict(raw), values, settings, read_aws(os.environ, settings))
        else:
            _last = replace(_last, environment=dict(raw))
    return _last


def settings() -> Settings:
    """Return the settings of the environment as it is now. Raises SettingMistake."""
    return _reading().settings


def aws() -> Aws:
    """Return how AWS is reached in the environment as it is now."""
    return _reading().aws


settings()  # a mistake shows at import, not at the first order
