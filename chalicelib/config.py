"""Settings: everything that differs between a laptop, a test and AWS, read from the environment.

Every setting has a default, so that `import app` needs no environment. Settings are read on use, so
a variable that a test sets takes effect at once. docs/settings.md lists them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from math import ceil
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from chalicelib import endpoints
from chalicelib.endpoints import Aws, read_aws
from chalicelib.errors import SettingMistake

# API Gateway ends an integration after 29 s:
# https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html
MAX_WAIT_S = 25
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
MAX_ROW_BYTES = 409_600
MAX_INLINE_BYTES = 65_536  # of an input, and of a result, in a row
# A response of Lambda has at most 6 MB. It holds our JSON as a JSON string, in which a character
# may take three times its bytes
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_BODY_BYTES = 2_000_000
# Room in a row for the links to follow-ups (94,500 bytes), to dependents (27,000) and to
# prerequisites, for the history and the error
ROW_RESERVE_BYTES = 143_360
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
MAX_UPLOAD_BYTES = 5 * 2**30
# SQS allows 12 hours from the receive, which include the attempt before: 15 minutes at most
MAX_VISIBILITY_S = 11 * 3600
MAX_DUE_SHARDS = 256


DEFAULT_LANE = "default"
WEBHOOKS_LANE = "webhooks"  # there is one if orderline.yaml switches webhooks on
T = TypeVar("T", int, str)


def lane_queue(queue: str, lane: str) -> str:
    """Return a lane's queue, given the default lane's: a name, or a URL that ends with it."""
    return queue if lane == DEFAULT_LANE else f"{queue}-{lane}"


class Settings(Struct, frozen=True, dict=True):
    """One field per environment variable, of the same name in capitals.

    Each description ends with who sets the variable: the template (.chalice/resources.yaml), `make
    run` (dev/local/local_stack.py, for the HTTP server on a laptop), or else the operator.
    """

    stack: str = "orderline-dev"
    """Prefix of the names of the tables and queues. Set by the template and `make run`."""
    queue_url: str = ""
    """URL of the orders queue; empty: looked up by name. Set by the template and `make run`."""
    lanes: str = ""
    """Each other lane's worker timeout in seconds, as JSON. Set by the template and `make run`."""
    lane: str = "default"
    """The lane of this worker. Set by the template."""
    secrets: str = ""
    """SSM parameters of the declared secrets, as JSON. Set by the template and `make run`."""
    examples: str = "on"
    """`off`: without the tasks in chalicelib/tasks/examples/. Set by the template."""
    access: str = "open"
    """`token`: requests need a token; `open`: they don't. Set by the template and `make run`."""
    public_url: str = ""
    """Base URL of links; empty: taken from the request's Host. Set by the operator."""
    max_input_bytes: int = 1_000_000
    """Maximum size of an order's input as JSON, in bytes. Set by the template."""
    max_result_bytes: int = 1_000_000
    """Maximum size of a task's result as JSON, in bytes. Set by the operator."""
    spill_bytes: int = 16_384
    """Size of JSON above which an input or a result is stored in the bucket. Set by the operator.

    Each KB in a row costs up to three write units; a file costs one call to write, one to read.
    """
    resend_after_s: int = 120
    """Seconds until the sweeper requeues an unclaimed order. Set by the template and `make run`."""
    bucket: str = ""
    """Bucket of the files; empty: `<stack>-files`. Set by the template and `make run`."""
    max_file_bytes: int = 100_000_000
    """Maximum size of a file, in bytes. Set by the template."""
    file_days: int = 12
    """Days from a file's last upload until S3 deletes it. Set by the template.

    At least a day more than MAX_AGE_S and RETENTION_S together, so that files outlive their orders.
    """
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
    due_shards: int = 4
    """Partitions of the due index, per kind of dispatch; may only grow. Set by the template."""
    dns_suffix: str = ""
    """Domain of AWS's endpoints; empty: derived from the region. Set by the template."""
    aws_transport: str = ""
    """`sigv4` or `botocore`; empty: sigv4 in Lambda, botocore elsewhere. Set by `make run`."""

    @property
    def orders_table(self) -> str:
        """Name of the table of orders."""
        return f"{self.stack}-orders"

    @property
    def files_bucket(self) -> str:
        """Name of the bucket of the files."""
        return self.bucket or f"{self.stack}-files"

    @property
    def tokens_table(self) -> str:
        """Name of the table of access tokens."""
        return f"{self.stack}-tokens"

    @property
    def orders_queue(self) -> str:
        """Name of the orders queue, that of the default lane."""
        return f"{self.stack}-orders"

    @functools.cached_property
    def secret_parameters(self) -> Mapping[str, str]:
        """The name of the SSM parameter of each declared secret, by the secret's name."""
        return _decoded("SECRETS", self.secrets, str)

    @functools.cached_property
    def timeouts(self) -> Mapping[str, int]:
        """The worker timeout in seconds of each lane, by its name."""
        return {DEFAULT_LANE: self.worker_timeout_s, **_decoded("LANES", self.lanes, int)}

    @property
    def dead_queue(self) -> str:
        """Name of the dead-letter queue."""
        return f"{self.stack}-dead"


DEFAULTS = Settings()


def _decoded(name: str, text: str, values: type[T]) -> dict[str, T]:
    """Return the JSON object of a setting. Raises SettingMistake."""
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, values])  # type: ignore[valid-type]
    except msgspec.MsgspecError as error:
        example = '{"heavy": 300}' if values is int else '{"API_KEY": "/orderline-dev/API_KEY"}'
        raise SettingMistake(f"{name}: {error}; it must be JSON such as {example}") from error


def read(environ: Mapping[str, str]) -> Settings:
    """Return the settings of an environment.

    Raises SettingMistake, which names the variable and its valid values.
    """
    values: dict[str, str | int] = {}
    for field in Settings.__struct_fields__:
        name = field.upper()
        text = environ.get(name, "")
        if not text:
            continue
        number = Settings.__annotations__[field] == "int"
        if number and not text.isdigit():
            raise SettingMistake(f"{name}={text!r}: must be a whole number")
        values[field] = int(text) if number else text
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
    _decoded("SECRETS", settings.secrets, str)
    if settings.lane not in settings.timeouts:
        raise SettingMistake(f"LANE={settings.lane!r}: LANES has no such lane")
    if settings.examples not in ("on", "off"):
        raise SettingMistake(f"EXAMPLES={settings.examples!r}: must be `on` or `off`")
    if in_lambda and settings.access == "open":
        raise SettingMistake(
            "ACCESS is open: in Lambda it must be `token`, or anyone could place orders"
        )
    if settings.list_shards < 1:
        raise SettingMistake("LIST_SHARDS must be at least 1")
    if not 1 <= settings.due_shards <= MAX_DUE_SHARDS:
        raise SettingMistake(
            f"DUE_SHARDS={settings.due_shards}: must be from 1 to {MAX_DUE_SHARDS},"
            " because each sweep asks every one"
        )
    _validate_limits(settings)


def _validate_limits(settings: Settings) -> None:
    if settings.max_wait_s > MAX_WAIT_S:
        raise SettingMistake(
            f"MAX_WAIT_S={settings.max_wait_s}: must be at most {MAX_WAIT_S},"
            " because API Gateway waits no longer"
        )
    body_bytes = settings.max_input_bytes + settings.max_result_bytes
    if body_bytes > MAX_BODY_BYTES:
        raise SettingMistake(
            f"MAX_INPUT_BYTES + MAX_RESULT_BYTES = {body_bytes}: must be at most {MAX_BODY_BYTES},"
            " because both may be in one response"
        )
    if settings.spill_bytes > MAX_INLINE_BYTES:
        raise SettingMistake(
            f"SPILL_BYTES={settings.spill_bytes}: must be at most {MAX_INLINE_BYTES},"
            " because smaller inputs and results are in one row"
        )
    min_days = ceil((settings.max_age_s + settings.retention_s) / 86400) + 1
    if settings.file_days < min_days:
        raise SettingMistake(
            f"FILE_DAYS={settings.file_days}: must be at least {min_days}, a day more than"
            " MAX_AGE_S and RETENTION_S together, so that files outlive their orders"
        )
    if settings.max_file_bytes > MAX_UPLOAD_BYTES:
        raise SettingMistake(
            f"MAX_FILE_BYTES={settings.max_file_bytes}: must be at most {MAX_UPLOAD_BYTES},"
            " the most that S3 takes in one request"
        )


VARIABLES = (*(field.upper() for field in Settings.__struct_fields__), *endpoints.VARIABLES)


class _Snapshot(Struct, frozen=True):
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
            _last = _Snapshot(dict(raw), values, _last.settings, _last.aws)
    return _last


def webhooks_on() -> bool:
    """Return True if webhooks are switched on: then they have their lane."""
    return WEBHOOKS_LANE in settings().timeouts


def settings() -> Settings:
    """Return the settings of the current environment. Raises SettingMistake if one is not valid."""
    return _snapshot().settings


def aws() -> Aws:
    """Return the AWS endpoints and credentials of the current environment."""
    return _snapshot().aws


settings()  # fail at import, not at the first order
