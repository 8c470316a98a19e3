"""Replay each call that the app makes through botocore over the transport that it has in Lambda.

The replay gets the answers that botocore got. It must send the same requests, as many times, and
return the same result or error. So the rest of a test would be the same over either transport.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.endpoint import Endpoint

from chalicelib import config
from chalicelib.aws import boto, sigv4
from chalicelib.errors import CallFailed, CallRefused

_NO_PAUSE = SimpleNamespace(sleep=lambda _: None, strftime=time.strftime)
_NO_JITTER = SimpleNamespace(uniform=lambda low, _: low)
# botocore knows some errors of SQS by their older names
_NAMES = {"AWS.SimpleQueueService.NonExistentQueue": "QueueDoesNotExist"}

Exchanges = list[tuple[AWSPreparedRequest, "AWSResponse | None"]]


class _Calls(threading.local):
    """This thread's calls that have not ended; a test may make others before a call goes on."""

    def __init__(self) -> None:
        self.open: list[tuple[Endpoint, Exchanges]] = []


class _Replay(sigv4.Client):
    """The app's own transport, which gets the answers of botocore's."""

    def __init__(self, service: str, exchanges: Exchanges) -> None:
        super().__init__(service, config.aws())
        self._answers = [response for _, response in exchanges]
        self.sent: list[tuple[str, Any]] = []

    def _connection(self) -> Any:
        return SimpleNamespace(sock=None)

    def _exchange(self, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        self.sent.append((headers["x-amz-target"], json.loads(body)))
        response = self._answers.pop(0) if self._answers else None
        if response is None:
            raise TimeoutError
        return response.status_code, response.content


@contextmanager
def replayed() -> Iterator[None]:
    """Replay the calls of the block; those to S3 have no common form.

    The differences are reported at its end: the app may handle an exception in a call.
    """
    calls = _Calls()
    differences: list[Any] = []
    send = Endpoint._do_get_response
    operation_of = boto.Client.__getattr__

    def recorded(endpoint: Endpoint, request: AWSPreparedRequest, *arguments: Any) -> Any:
        success, error = send(endpoint, request, *arguments)
        if calls.open and calls.open[-1][0] is endpoint:  # else the test itself calls AWS
            calls.open[-1][1].append((request, success[0] if success else None))
        return success, error

    def compared(client: boto.Client, name: str) -> Callable[..., Any]:
        operation = operation_of(client, name)
        service = client._client.meta.service_model.service_name

        def call(**members: Any) -> Any:
            exchanges: Exchanges = []  # with hidden retries
            calls.open.append((client._client._endpoint, exchanges))
            try:
                result = _outcome(lambda: operation(**members))
            finally:
                calls.open.pop()
            if exchanges and service != "s3":  # some tests answer before a request is sent
                replay = _Replay(service, exchanges)
                again = _outcome(lambda: getattr(replay, name)(**members))
                differences.extend(_difference(exchanges, result, replay, again))
            if isinstance(result, Exception):
                raise result
            return result

        return call

    with (
        patch.object(Endpoint, "_do_get_response", recorded),
        patch.object(boto.Client, "__getattr__", compared),
        patch.multiple(sigv4, time=_NO_PAUSE, random=_NO_JITTER),
    ):
        yield
    assert not differences


def _difference(
    exchanges: Exchanges, result: Any, replay: _Replay, again: Any
) -> Iterator[tuple[Any, Any]]:
    sent = [
        (request.headers["X-Amz-Target"].decode(), json.loads(request.body))
        for request, _ in exchanges
    ]
    if replay.sent != sent:
        yield sent, replay.sent
    if _comparable(again) != _comparable(result):
        yield result, again


def _outcome(call: Callable[[], Any]) -> Any:
    """Return the result of a call, or its error."""
    try:
        return call()
    except (CallRefused, CallFailed) as error:
        return error


def _comparable(outcome: Any) -> Any:
    """Return what the app sees of an outcome: of a parameter, only its value."""
    if isinstance(outcome, CallRefused):
        return _NAMES.get(outcome.code, outcome.code), outcome.item
    if isinstance(outcome, CallFailed):
        return "failed"
    if "Parameter" in outcome:
        return outcome["Parameter"]["Value"]
    return {name: value for name, value in outcome.items() if name != "ResponseMetadata"}
