"""Record the calls to AWS and inject faults into them, where moto intercepts them.

Every call of our code passes here, also botocore's hidden retries, whose pauses take no time. A
fault strikes before the call's effect, after it (the answer is lost) or instead of it (AWS answers
with an error), or it kills the process.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.exceptions import ReadTimeoutError
from botocore.retries.quota import RetryQuota
from moto.core.botocore_stubber import BotocoreStubber, MockRawResponse

# The calls of Lambda's event source mapping, not of our code
MAPPING = {"ReceiveMessage", "DeleteMessage"}
ATTEMPTS = 3  # of botocore for each call, see chalicelib.aws
# S3's requests name no operation
_OBJECT_CALLS = {"HEAD": "HeadObject", "GET": "GetObject", "PUT": "PutObject"}
# How S3 answers where the other services answer with this code
_OBJECT_ERRORS = {
    "ThrottlingException": (503, "SlowDown"),
    "InternalServerError": (500, "InternalError"),
    "AccessDeniedException": (403, "AccessDenied"),
}

Answer = Callable[[], AWSResponse]
Fault = Callable[["Call", Answer], AWSResponse]


class Killed(BaseException):
    """The end of the process. A handler that swallows it gains nothing: see Wire.killed."""


@dataclass(frozen=True)
class Call:
    """A request on the wire. `n` counts those of our own code from 0.

    `request` is the decoded body, and empty for a call to S3.
    """

    n: int
    operation: str
    request: Any
    url: str


@dataclass
class Wire:
    """A record of requests. `calls` has the operations that our code called, retries included.

    `gate` is called before each of them (to interleave actors), `seen` after each that took effect.
    """

    calls: list[str] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)
    faults: dict[int, Fault] = field(default_factory=dict)
    gate: Callable[[Call], None] | None = None
    seen: Callable[[Call], None] | None = None
    dead: bool = False
    quiet: bool = False
    _of_operation: dict[str, tuple[Fault, int]] = field(default_factory=dict)

    def breaks(self, operation: str, times: int = ATTEMPTS) -> None:
        """Drop the next `times` requests of this operation; they have no effect."""
        self._of_operation[operation] = (lost, times)

    def loses_answer(self, operation: str, times: int = ATTEMPTS) -> None:
        """Drop the next `times` answers; the requests take effect."""
        self._of_operation[operation] = (answer_lost, times)

    def throttles(self, operation: str, times: int = ATTEMPTS) -> None:
        """Answer the next `times` requests with ThrottlingException; they have no effect."""
        self._of_operation[operation] = (throttled, times)

    def answers(self, operation: str, change: Callable[[Any], Any], times: int = 1) -> None:
        """Change the next `times` answers on their way."""
        self._of_operation[operation] = (lambda _, answer: _changed(answer(), change), times)

    def killed(self, call: Call, answer: Answer) -> AWSResponse:
        """Kill the process, as a fault; all its later requests die too, until `reborn`."""
        self.dead = True
        raise Killed

    def killed_after(self, call: Call, answer: Answer) -> AWSResponse:
        answer()
        return self.killed(call, answer)

    def reborn(self) -> None:
        self.dead = False

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Let the test itself call AWS, without a record and without faults."""
        self.quiet = True
        try:
            yield
        finally:
            self.quiet = False

    def _pass(self, request: AWSPreparedRequest, answer: Answer) -> AWSResponse:
        target = request.headers.get("X-Amz-Target", b"")
        operation = (target.decode() if isinstance(target, bytes) else target).rpartition(".")[2]
        if operation in MAPPING or self.quiet:
            return answer()
        if self.dead:
            raise Killed
        members = json.loads(request.body) if operation else {}
        operation = operation or _OBJECT_CALLS[request.method]
        call = Call(len(self.calls), operation, members, request.url)
        if self.gate:
            self.gate(call)
        self.calls.append(operation)
        self.requests.append(call.request)
        return self._fault(call)(call, lambda: self._effect(call, answer))

    def _effect(self, call: Call, answer: Answer) -> AWSResponse:
        response = answer()
        if self.seen and response.status_code == 200:
            self.seen(call)
        return response

    def _fault(self, call: Call) -> Fault:
        if call.n in self.faults:
            return self.faults[call.n]
        fault, times = self._of_operation.get(call.operation, (none, 0))
        self._of_operation[call.operation] = (fault, times - 1)
        return fault if times > 0 else none


def none(call: Call, answer: Answer) -> AWSResponse:
    return answer()


def lost(call: Call, answer: Answer) -> AWSResponse:
    raise ReadTimeoutError(endpoint_url=call.url)


def answer_lost(call: Call, answer: Answer) -> AWSResponse:
    answer()
    raise ReadTimeoutError(endpoint_url=call.url)


def throttled(call: Call, answer: Answer) -> AWSResponse:
    return _refusal(call, 400, "ThrottlingException")


def server_error(call: Call, answer: Answer) -> AWSResponse:
    return _refusal(call, 500, "InternalServerError")


def denied(call: Call, answer: Answer) -> AWSResponse:
    return _refusal(call, 400, "AccessDeniedException")


def _refusal(call: Call, status: int, code: str) -> AWSResponse:
    if call.operation in _OBJECT_CALLS.values():
        return _object_refusal(call, *_OBJECT_ERRORS[code])
    body = json.dumps({"__type": code, "message": "a fault that a test put here"})
    return AWSResponse(
        call.url, status, {"Content-Type": "application/x-amz-json-1.0"}, MockRawResponse(body)
    )


def _object_refusal(call: Call, status: int, code: str) -> AWSResponse:
    """Answer as S3 does: in XML, and without a body to HEAD."""
    body = "" if call.operation == "HeadObject" else f"<Error><Code>{code}</Code></Error>"
    return AWSResponse(call.url, status, {"Content-Type": "application/xml"}, MockRawResponse(body))


def _changed(response: AWSResponse, change: Callable[[Any], Any]) -> AWSResponse:
    body = json.dumps(change(json.loads(response.content)))
    return AWSResponse(response.url, response.status_code, {}, MockRawResponse(body))


@contextmanager
def one_call_at_a_time() -> Iterator[None]:
    """Serialize the calls: moto's writes aren't atomic, another thread could read half of one."""
    lock = threading.Lock()
    original = BotocoreStubber.__call__

    def call(*arguments: Any, **more: Any) -> Any:
        with lock:
            return original(*arguments, **more)

    with patch.object(BotocoreStubber, "__call__", call):
        yield


@contextmanager
def tapped() -> Iterator[Wire]:
    """Put a wire between our code and moto."""
    wire = Wire()
    original = BotocoreStubber.__call__

    def call(
        stub: BotocoreStubber, event_name: str, request: AWSPreparedRequest, **more: Any
    ) -> Any:
        return wire._pass(request, lambda: original(stub, event_name, request, **more))

    with (
        patch.object(BotocoreStubber, "__call__", call),
        patch("botocore.endpoint.time.sleep"),
        # botocore's quota of retries is for a process, so faults of one test would reach another
        patch.object(RetryQuota, "acquire", return_value=True),
    ):
        yield wire
