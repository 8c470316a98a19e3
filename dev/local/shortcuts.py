"""Shortcuts through ministack for what every order does, which spare most of its time.

They change nothing but the time: every check of DynamoDB and SQS is still ministack's.
"""

from __future__ import annotations

import copy
import functools
import logging
import marshal
import queue
import re
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from ministack.core import lambda_runtime, responses, router
from ministack.services import dynamodb, sqs

from dev.local.asgi import Receive, Send

_SERVICES = {"DynamoDB_20120810": dynamodb, "AmazonSQS": sqs}
_COMPARISON = re.compile(r"(#?\w+) (<=|>=|<|>|=) (:\w+)|(#?\w+) BETWEEN (:\w+) AND (:\w+)")
_END_OF_RUN = "\x1forderline: end of run"
_LOG_LIMIT_S = 0.25  # for the next line of a run that has no end, since its process died
_HANDLER = "        handler_fn = getattr(mod, handler_name)\n"
_MARKED = f"""\
        def handler_fn(event, context, run=getattr(mod, handler_name)):
            try:
                return run(event, context)
            finally:
                print({_END_OF_RUN!r}, file=sys.__stderr__, flush=True)
"""


def install() -> None:
    """Parse each expression and number once, since most recur; copy and wait faster."""
    tokenize = dynamodb._tokenize
    dynamodb._tokenize = _remembering(lambda expression: tuple(tokenize(expression)))
    for name in (
        "_condition_syntax_error",
        "_ddb_canonicalize_number",
        "_number_error",
        "_number_size_bytes",
    ):
        setattr(dynamodb, name, _remembering(getattr(dynamodb, name)))
    dynamodb._evaluate_condition = _comparing(dynamodb._evaluate_condition)
    dynamodb.copy = SimpleNamespace(deepcopy=_copy)
    script = lambda_runtime._PYTHON_WORKER_SCRIPT
    lambda_runtime._PYTHON_WORKER_SCRIPT = script.replace(_HANDLER, _MARKED)
    lambda_runtime.Worker._drain_stderr_bounded = _log_lines


def _remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a pure function with a cache; its arguments may be of a wrong type."""
    cached = functools.lru_cache(4096)(function)

    def call(*arguments: Any) -> Any:
        try:
            return cached(*arguments)
        except TypeError:  # not hashable
            return function(*arguments)

    return call


def _comparing(evaluate: Callable[..., Any]) -> Callable[..., Any]:
    """Return ministack's evaluation of a condition, quicker for the keys of a query.

    A query evaluates its condition for every row of its partition, at each page.
    """

    def call(
        expression: str, item: Any, values: Any, names: Any, slot: str = "ConditionExpression"
    ) -> Any:
        compared = _comparisons(expression) if slot == "KeyConditionExpression" else ()
        if not compared:
            return evaluate(expression, item, values, names, slot)
        return all(
            dynamodb._compare_ddb(item.get(names.get(name, name)), operator, values[value])
            for name, operator, value in compared
        )

    return call


@functools.lru_cache(1024)
def _comparisons(expression: str) -> tuple[tuple[str, str, str], ...]:
    """Return the comparisons that a condition joins by AND; none if there is anything else."""
    found = list[tuple[str, str, str]]()
    for clause in re.split(r" AND (?!:)", expression):
        match = _COMPARISON.fullmatch(clause)
        if match is None or clause.partition(" ")[0].upper() in dynamodb.AWS_KEYWORDS:
            return ()
        name, operator, value, between, first, last = match.groups()
        if name:
            found.append((name, operator, value))
        else:
            found += [(between, ">=", first), (between, "<=", last)]
    return tuple(found)


def _copy(value: Any) -> Any:
    """Return a deep copy. Copies JSON in a third of the time that `copy.deepcopy` takes."""
    try:
        return marshal.loads(marshal.dumps(value))
    except ValueError:  # not JSON
        return copy.deepcopy(value)


def _log_lines(worker: Any) -> str:
    """Return the lines that a run has logged.

    Its process marks the end, so nothing is lost on a busy machine, and no wait tells that it came.
    """
    lines = list[str]()
    with suppress(queue.Empty):
        while (line := worker._stderr_queue.get(timeout=_LOG_LIMIT_S)) != _END_OF_RUN:
            lines.append(line)
    return "\n".join(lines)


def service_of(method: str, path: str, headers: Mapping[str, str]) -> Any:
    """Return the module that answers this request, or None if it needs ministack's routing."""
    if method != "POST" or path != "/" or "content-encoding" in headers:
        return None
    return _SERVICES.get(headers.get("x-amz-target", "").partition(".")[0])


async def answer(service: Any, headers: dict[str, str], receive: Receive, send: Send) -> None:
    """Answer a request to DynamoDB or SQS without looking for its service."""
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body += message.get("body", b"")
        more = message.get("more_body", False)
    responses.set_request_account_id(router.extract_access_key_id(headers))
    responses.set_request_region(router.extract_region(headers))
    try:
        status, fields, content = await service.handle_request("POST", "/", headers, body, {})
    except Exception as error:
        logging.getLogger(__name__).exception("Error handling %s", headers["x-amz-target"])
        status, fields, content = responses.error_response_json("InternalError", str(error), 500)
    content = content if isinstance(content, bytes) else content.encode()
    fields = {**fields, "content-length": len(content), "x-amzn-requestid": uuid.uuid4()}
    encoded = [(name.lower().encode(), str(value).encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})
