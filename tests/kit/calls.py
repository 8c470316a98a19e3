"""Record the app's calls to AWS: the function that made each, its resource and its line of code."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

import chalicelib
from chalicelib import config
from chalicelib.aws import boto, client
from dev.packaging.lanes import logical

SOURCE = Path(chalicelib.__file__).parent
Way = tuple[tuple[str, int], ...]  # (file, line), the calling line first
_NOT_IN_LAMBDA = "GetQueueUrl"  # not called in Lambda: the template sets the queue's address
# Calls without an action of their own; a copy needs s3:GetObject too, which every scenario with a
# copy has used before: https://docs.aws.amazon.com/service-authorization/latest/reference/
_ACTIONS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:CopyObject": "s3:PutObject",
    "sqs:SendMessageBatch": "sqs:SendMessage",
}
_ACTION_OF_METHOD = {"GET": "s3:GetObject", "PUT": "s3:PutObject"}


@dataclass(frozen=True)
class Call:
    """A call as a policy names it, such as dynamodb:Query on OrdersTable/index/by_time."""

    function: str
    action: str
    resource: str


@dataclass
class Recorder:
    """A record of calls. Calls from number `fail_from` on, counted from 0, fail as throttled."""

    calls: list[Call] = field(default_factory=list)
    paths: list[Way] = field(default_factory=list)
    fail_from: float = float("inf")
    function: str = ""

    @contextmanager
    def of(self, function: str) -> Iterator[None]:
        """Record the calls of the block as those of this function of the template."""
        self.function = function
        yield
        self.function = ""

    def note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        service = model.service_model.service_name
        if not self.function or model.name == _NOT_IN_LAMBDA:
            return
        action = f"{service}:{model.name}"
        self.calls.append(Call(self.function, _ACTIONS.get(action, action), _resource(params)))
        self.paths.append(_path())
        if len(self.paths) > self.fail_from:
            raise ClientError(
                {"Error": {"Code": "ThrottlingException", "Message": "made by a test"}}, model.name
            )

    def use(self, method: str, url: str) -> None:
        """Record the use of a presigned URL, which has its signer's rights, as a call."""
        host, path = urlsplit(url)[1:3]
        bucket = host.partition(".s3.")[0]
        resource = _resource({"Bucket": bucket, "Key": path[1:]})
        self.calls.append(Call(self.function, _ACTION_OF_METHOD[method], resource))


@contextmanager
def recorded() -> Iterator[Recorder]:
    """Record the calls of every client that the app creates."""
    recorder = Recorder()
    session = boto.session()
    _forget_clients()  # only clients that are created after `register` call `note`
    session.register("provide-client-params.*.*", recorder.note)
    try:
        with patch.dict("os.environ", AWS_TRANSPORT="botocore"):  # whose clients have events
            yield recorder
    finally:
        session.unregister("provide-client-params.*.*", recorder.note)
        _forget_clients()


def _forget_clients() -> None:
    client._client.cache_clear()
    client._bucket.cache_clear()


def call_sites() -> set[tuple[str, int]]:
    """Return every line of the package with a call to AWS.

    They look like `client("dynamodb").get_item(...)` or `bucket().head(...)`.
    """
    sites = set()
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                inner = node.func.value
                if (
                    isinstance(inner, ast.Call)
                    and isinstance(inner.func, ast.Name)
                    and inner.func.id in ("client", "bucket")
                ):
                    sites.add((path.name, node.lineno))
    return sites


def _path() -> Way:
    """Return the lines of the package that lead to a call, the calling line first."""
    frame: Any = sys._getframe(1)
    lines = []
    while frame is not None:
        if (
            frame.f_code.co_filename.startswith(str(SOURCE))
            and frame.f_code.co_filename != boto.__file__
        ):
            lines.append((Path(frame.f_code.co_filename).name, frame.f_lineno))
        frame = frame.f_back
    return tuple(lines)


def _resource(params: dict[str, Any]) -> str:
    settings = config.settings()
    if "Name" in params:
        return "parameter" + str(params["Name"]).replace(settings.stack, "${AWS::StackName}")
    if "QueueUrl" in params:
        queues = {
            config.lane_queue(settings.orders_queue, lane): logical(lane, "OrdersQueue")
            for lane in settings.timeouts
        }
        queues[settings.dead_queue] = "DeadQueue"
        return queues[params["QueueUrl"].split("/")[-1]]
    if "Bucket" in params:
        assert (params["Bucket"], bool(params["Key"])) == (settings.files_bucket, True)
        return "FilesBucket/*"
    (table,) = params.get("RequestItems", [params.get("TableName")])
    name = {settings.orders_table: "OrdersTable", settings.tokens_table: "TokensTable"}[table]
    return f"{name}/index/{params['IndexName']}" if "IndexName" in params else name
