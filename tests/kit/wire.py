"""The wire to AWS: which calls went over it, and faults put on it, at moto's own seam.

Botocore's hidden retries are seen and met by the faults too, as on a real wire; their pauses take no time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse

MAPPING = {"ReceiveMessage", "DeleteMessage"}  # what Lambda's event source mapping calls, not our code
ATTEMPTS = 3  # how often botocore tries a call, see chalicelib.aws

Answer = Callable[[], AWSResponse]


class Wire:
    """What passed. `calls` are the operations that our code asked for, retries included."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.requests: list[Any] = []
        self._faults: dict[str, tuple[Callable[[AWSPreparedRequest, Answer], AWSResponse], int]] = {}

    def breaks(self, operation: str, times: int = ATTEMPTS) -> None:
        """The next so many requests of it don't arrive: nothing is done."""
        self._faults[operation] = (_lost, times)

    def loses_answer(self, operation: str, times: int = ATTEMPTS) -> None:
        """They arrive and take effect, and nobody hears of it."""
        self._faults[operation] = (_answer_lost, times)

    def throttles(self, operation: str, times: int = ATTEMPTS) -> None:
        """AWS answers that it was asked too often."""
        self._faults[operation] = (_throttled, times)

    def answers(self, operation: str, change: Callable[[Any], Any]) -> None:
        """Its next answer is changed on its way."""
        self._faults[operation] = (lambda _, answer: _changed(answer(), change), 1)

    def _pass(self, request: AWSPreparedRequest, answer: Answer) -> AWSResponse:
        target = request.headers.get("X-Amz-Target", b"")
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        if operation not in MAPPING:
            self.calls.append(operation)
            self.requests.append(json.loads(request.body))
        fault, times = self._faults.get(operation, (None, 0))
        if fault is None or times == 0:
            return answer()
        self._faults[operation] = (fault, times - 1)
        return fault(request, answer)


def _lost(request: AWSPreparedRequest, answer: Answer) -> AWSResponse:
    raise ReadTimeoutError(endpoint_url=request.url)


def _answer_lost(request: AWSPreparedRequest, answer: Answer) -> AWSResponse:
    answer()
    raise ReadTimeoutError(endpoint_url=request.url)


def _throttled(request: AWSPreparedRequest, answer: Answer) -> AWSResponse:
    body = '{"__type": "ThrottlingException", "message": "Rate exceeded"}'
    return AWSResponse(request.url, 400, {"Content-Type": "application/x-amz-json-1.0"}, MockRawResponse(body))


def _changed(given: AWSResponse, change: Callable[[Any], Any]) -> AWSResponse:
    body = json.dumps(change(json.loads(given.content)))
    return AWSResponse(given.url, given.status_code, {}, MockRawResponse(body))


@contextmanager
def tapped() -> Iterator[Wire]:
    wire, original = Wire(), BotocoreStubber.__call__

    def call(stub: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **more: Any) -> Any:
        return wire._pass(request, lambda: original(stub, event_name, request, **more))

    with patch.object(BotocoreStubber, "__call__", call), patch("botocore.endpoint.time.sleep"):
        yield wire
