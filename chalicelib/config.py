"""Settings: everything that differs between a laptop, a test and AWS, read from the environment.

Every setting has a default, so that `import app` needs no environment. Settings are read on use, so
a variable that a test sets takes effect at once. docs/settings.md lists them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from chalicelib.errors import SettingMistake

# API Gateway ends an integration after 29 s:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MAX_WAIT_S = 25
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_ROW_BYTES = 409_600
# Room in a row for the links to follow-ups (94,500 bytes), the history and the error
ROW_RESERVE_BYTES = 106_496
# SQS allows 12 hours from the receive, which include the attempt before: 15 minutes at most
MAX_VISIBILITY_S = 11 * 3600


@dataclass(frozen=True)
class Settings:
    """One field per environment variable, of the same name in capitals.

    Each description ends with who sets the variable: the template (.chalice/resources.yaml), `make
    run` (dev/local/local_stack.py, for the HTTP server on a laptop), or else the operator.
    """

    stack: str = "orderline-dev"
    """Prefix of the names of the tables and queues. Set by the template and `make run`."""
    queue_url: str = ""
    """URL of the orders queue; empty: looked up by name. Set by the template and `make run`."""
    access: str = "open"
    """`token`: requests need a token; `open`: they don't. Set by the template and `make run`."""
    public_url: str = ""
    """Base URL of links; empty: taken from the request's Host. Set by the operator."""
    max_input_bytes: int = 65536
    """Maximum size of an order's input as JSON, in bytes. Set by the template."""
    max_result_bytes: int = 65536
    """Maximum size of a task's result as JSON, in bytes. Set by the operator."""
    resend_after_s: int = 120
    """Seconds until the sweeper requeues an unclaimed order. Set by the template and `make run`."""
    retention_s: int = 7 * 86400
    """Seconds from an order's end until it expires. Set by the operator."""
    max_age_s: int = 4 * 86400
    """Seconds that an order may be runnable without finishing; then it fails. Set by the operator.

    It must be above the longest backlog that is to survive.
    """
    periodic_owner: str = "periodic"
    """Owner of the orders of periodic tasks. Set by the template."""
    worker_timeout_s: int = 60
    """The worker's timeout in seconds; limits `timeout_s`. Set by the template and `make run`."""
    max_receives: int = 30
    """The queue's maxReceiveCount, above every task's `max_attempts`. Set by the template."""
    board_keep_s: int = 300
    """Seconds that the board shows an order after its end. Set by the operator."""
    max_wait_s: int = 20
    """Upper limit of `Prefer: wait`, in seconds; 0 disables waiting. Set by the template."""
    cors_origins: str = ""
    """Web origins that may call the API, separated by spaces; empty: none. Set by the template."""
    cursor_key: str = ""
    """Secret that signs cursors of lists. Set by the template and `make run`: the stack's id."""
    list_shards: int = 1
    """Partitions of an owner's list; may only grow. Set by the template."""
    due_shards: int = 1
    """Partitions of the due index, per kind of dispatch. Set by the operator."""
    dns_suffix: str = ""
    """Domain of AWS's endpoints; empty: derived from the region. Set by the template."""
    aws_transport: str = ""
    """`sigv4` or `botocore`; empty: sigv4 in Lambda, botocore elsewhere. Set by `make run`."""

    @property
    def orders_table(self) -> str:
        """Name of the table of orders."""
        return f"{self.stack}-orders"

    @property
    def tokens_table(self) -> str:
        """Name of the table of access tokens."""
        return f"{self.stack}-tokens"

    @property
    def orders_queue(self) -> str:
        """Name of the orders queue."""
        return f"{self.stack}-orders"

    @property
    def dead_queue(self) -> str:
        """Name of the dead-letter queue."""
        return f"{self.stack}-dead"


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment.

    Raises SettingMistake, which names the variable and its valid values.
    """
    values: dict[str, str | int] = {}
    for setting in fields(Settings):
        name = setting.name.upper()
        text = environ.get(name, "")
        if not text:
            continue
        if setting.type == "int" and not text.isdigit():
            raise SettingMistake(f"{name}={text!r}: must be a whole number")
        values[setting.name] = int(text) if setting.type == "int" else text
    settings = Settings(**values)  # type: ignore[arg-type]
    _validate(settings, in_lambda=bool(environ.get("AWS_LAMBDA_FUNCTION_NAME")))
    return settings


def _validate(settings: Settings, in_lambda: bool) -> None:
    if settings.access not in ("open", "token"):
        raise SettingMistake(f"ACCESS={settings.access!r}: must be `token` or `open`")
    if settings.aws_transport not in ("", "sigv4", "botocore"):
        raise SettingMistake(
            f"AWS_TRANSPORT={settings.aws_transport!r}: must be `sigv4` or `botocore`"
        )
    if in_lambda and settings.access == "open":
        raise SettingMistake(
            "ACCESS is open: in Lambda it must be `token`, or anyone could place orders"
        )
    if settings.max_wait_s > MAX_WAIT_S:
        raise SettingMistake(
            f"MAX_WAIT_S={settings.max_wait_s}: must be at most {MAX_WAIT_S},"
            " because API Gateway waits no longer"
        )
    row_bytes = settings.max_input_bytes + settings.max_result_bytes
    max_bytes = MAX_ROW_BYTES - ROW_RESERVE_BYTES
    if row_bytes > max_bytes:
        raise SettingMistake(
            f"MAX_INPUT_BYTES + MAX_RESULT_BYTES = {row_bytes}: must be at most {max_bytes},"
            " because both are in one row"
        )
    if settings.list_shards < 1 or settings.due_shards < 1:
        raise SettingMistake("LIST_SHARDS and DUE_SHARDS must be at least 1")


@dataclass(frozen=True)
class Aws:
    """Endpoints and credentials of AWS: everything that an AWS client is made from."""

    in_lambda: bool
    """True inside a Lambda function."""
    region: str
    """Name of the region, such as us-east-1."""
    dynamodb_url: str
    """Endpoint of DynamoDB; empty: the region's own."""
    sqs_url: str
    """Endpoint of SQS; empty: the region's own."""
    dns_suffix: str
    """Domain of the region's endpoints."""
    sigv4: bool
    """True: sign calls in aws/sigv4.py; False: call botocore, the only one that moto can mock."""
    key_id: str
    """Access key id."""
    secret: str = field(repr=False)
    """Secret access key."""
    session_token: str = field(repr=False)
    """Token of temporary credentials; empty: none."""

    def endpoint(self, service: str) -> str:
        """Return the configured endpoint of `dynamodb` or `sqs`; empty: the region's own."""
        return self.dynamodb_url if service == "dynamodb" else self.sqs_url

    def missing(self, service: str) -> str | None:
        """Return why this service must not be called from here, or None if it may be called.

        This protects real accounts from accidents: outside Lambda, either an endpoint is configured
        (the local cloud) or the credentials can't be those of an account (moto). Profiles are never
        read. Access keys of real accounts begin with AKIA or ASIA:
        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
        """
        fake = self.key_id and not self.key_id.startswith(("AKIA", "ASIA"))
        if self.in_lambda or self.endpoint(service) or fake:
            return None
        return (
            "no cloud is configured here:"
            " run `make run`, or `. .local/env` while the local cloud runs"
        )


def read_aws(environ: Mapping[str, str], settings: Settings) -> Aws:
    """Return the AWS endpoints and credentials of an environment; variables as in botocore.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    in_lambda = bool(environ.get("AWS_LAMBDA_FUNCTION_NAME"))
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or "us-east-1"
    shared_url = environ.get("AWS_ENDPOINT_URL", "")
    partition_suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    transport = settings.aws_transport or ("sigv4" if in_lambda else "botocore")
    return Aws(
        in_lambda=in_lambda,
        region=region,
        dynamodb_url=environ.get("AWS_ENDPOINT_URL_DYNAMODB") or shared_url,
        sqs_url=environ.get("AWS_ENDPOINT_URL_SQS") or shared_url,
        dns_suffix=settings.dns_suffix or partition_suffix,
        sigv4=transport == "sigv4",
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
VARIABLES = (*(setting.name.upper() for setting in fields(Settings)), *_AWS_VARIABLES)


@dataclass(frozen=True)
class _Snapshot:
    """The settings, and the environment that they were read from."""

    environment: Mapping[Any, str | bytes]
    values: tuple[str | None, ...]
    settings: Settings
    aws: Aws


_last: _Snapshot | None = None


def _snapshot() -> _Snapshot:
    """Return the last snapshot, or a new one if the environment has changed since.

    A test may set a variable at any time. Comparing the raw mapping is cheap, while comparing
    `os.environ` would decode every entry. When only other variables changed (Lambda sets a trace id
    for each invocation), the objects stay the same, so AWS clients made from them stay in use.
    """
    global _last  # noqa: PLW0603
    raw = getattr(os.environ, "_data", os.environ)
    if _last is None or raw != _last.environment:
        values = tuple(map(os.environ.get, VARIABLES))
        if _last is None or values != _last.values:
            settings = read(os.environ)
            _last = _Snapshot(dict(raw), values, settings, read_aws(os.environ, settings))
        else:
            _last = replace(_last, environment=dict(raw))
    return _last


def settings() -> Settings:
    """Return the settings of the current environment. Raises SettingMistake if one is not valid."""
    return _snapshot().settings


def aws() -> Aws:
    """Return the AWS endpoints and credentials of the current environment."""
    return _snapshot().aws


settings()  # fail at import, not at the first order
