"""The checks of `make verify-aws`, in order. A check is a function of one visitor."""

from __future__ import annotations

import hashlib
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dev.verify import aws_checks
from dev.verify.visitor import PATIENCE_S, Visitor, eventually, is_success, seconds, send

ORIGIN = "https://verify.example"
# The throttle is low, so that a burst of 200 requests exceeds it
PARAMETERS = {"RequestsPerSecond": "10", "RequestBurst": "20", "CorsOrigins": ORIGIN}
_BURST = 50
FRONTS = ("rest", "http", "url")
_NO_GATEWAY_RESPONSES = "the local cloud ignores the gateway's responses in an API's definition"


@dataclass(frozen=True)
class Check:
    """A sentence and whether it holds.

    Without a function it is skipped everywhere; with a reason, on the local cloud. `fronts` are
    those that it is about.
    """

    sentence: str
    holds: Callable[[Visitor], bool] | None
    why_skipped: str = ""
    fronts: tuple[str, ...] = FRONTS


def ready(visit: Visitor) -> bool:
    """Wait until a new stack works: its name must spread, then its roles; its mappings start late.

    Place orders until one succeeds: one whose worker met AccessDenied stays hidden for the
    visibility timeout.
    """
    works = (
        eventually(lambda: visit("GET", "/health").status == 200, PATIENCE_S)
        and eventually(lambda: visit("GET", "/orders").status == 200, PATIENCE_S)
        and eventually(aws_checks.mappings_enabled, PATIENCE_S)
        and eventually(lambda: visit.succeeds(visit.place(), 10), PATIENCE_S)
    )
    visit.ready_at = time.time()
    return works


def _same_twice(visit: Visitor) -> bool:
    first, second = (visit.place(Idempotency_Key="verify") for _ in range(2))
    return (first.status, second.status) == (202, 202) and bool(
        first.body["id"] == second.body["id"]
    )


def _listed(visit: Visitor) -> bool:
    ids = [visit.place().body["id"] for _ in range(2)]
    if not eventually(
        lambda: visit("GET", "/orders?limit=1").body["items"][0]["id"] == ids[1], PATIENCE_S
    ):
        return False  # the index follows the table
    _, _, query = visit("GET", "/orders?limit=1").body["next"].partition("?")
    following = visit("GET", f"/orders?{query}")
    return following.status == 200 and bool(following.body["items"][0]["id"] == ids[0])


def _linked(visit: Visitor) -> bool:
    """Check the links: the function learns the stage's prefix from each request."""
    order = visit.place().body
    return bool(order["links"]["self"] == f"{visit.api}/orders/{order['id']}")


def _delayed(visit: Visitor) -> bool:
    placed = visit.place(delay_s=2)
    order = visit.wait(placed.body["id"])
    took_s = seconds(order["updated_at"]) - seconds(order["created_at"])
    return order["status"] == "SUCCESS" and took_s >= 2


def _cancelled_and_retried(visit: Visitor) -> bool:
    path = f"/orders/{visit.place(delay_s=5).body['id']}"
    cancelled = visit("POST", f"{path}/cancel")
    return (cancelled.status, cancelled.body["status"]) == (200, "CANCELLED") and visit.succeeds(
        visit("POST", f"{path}/retry")
    )


def _tried_again(visit: Visitor) -> bool:
    order = visit.wait(visit.place("fail_once", {}).body["id"])
    return (order["status"], order["attempts"], order["result"]) == ("SUCCESS", 2, 2)


def _fails(visit: Visitor) -> bool:
    order = visit.wait(visit.place("process_email", {"message": "no header lines"}).body["id"])
    return (order["status"], order["attempts"]) == ("FAILED", 1) and order["error"][
        "code"
    ] == "task_error"


def _followed_up(visit: Visitor) -> bool:
    first = visit.wait(visit.place("place_follow_up", {}).body["id"])
    following = visit.wait(first["result"])
    return (following["status"], following["links"]["parent"]) == (
        "SUCCESS",
        first["links"]["self"],
    )


def _files(visit: Visitor) -> bool:
    order = visit.wait(visit.place("reverse", {"file": {"file": visit.upload(b"abc")}}).body["id"])
    return is_success(order) and visit.download(order["result"]["file"]) == b"cba"


def _other_bytes_refused(visit: Visitor) -> bool:
    file_id = hashlib.sha256(b"announced").hexdigest()
    visit.put(file_id, b"different")
    assert visit.last is not None
    refused = visit.last.status == 400
    return refused and visit("GET", f"/files/{file_id}").status == 404


def _no_second_stage(visit: Visitor) -> bool:
    api, _, _ = visit.api.rpartition("/")
    visit.last = send(urllib.request.Request(f"{api}/Stage/health"))
    return visit.last.status in (403, 404)


def _no_head(visit: Visitor) -> bool:
    reply = visit("HEAD", "/health", Authorization="")
    return (reply.status, reply.body) == (404, "")


def _unknown_method(visit: Visitor) -> bool:
    reply = visit("DELETE", "/orders")
    return reply.is_problem(405) and reply.headers.get("Allow") == "GET, OPTIONS, POST"


def _preflight(visit: Visitor) -> bool:
    """Ask as a browser does, which sends no token."""
    reply = visit(
        "OPTIONS", "/orders", Authorization="", Origin=ORIGIN, Access_Control_Request_Method="POST"
    )
    return (reply.status, reply.headers.get("Access-Control-Allow-Origin")) == (204, ORIGIN)


def _throttled(visit: Visitor) -> bool:
    """Send up to 200 requests, ten at once as in a new account, until one is refused."""
    request = urllib.request.Request(f"{visit.api}/health")
    with ThreadPoolExecutor(10) as pool:
        for _ in range(200 // _BURST):
            replies = list(pool.map(send, [request] * _BURST))
            if refused := [reply for reply in replies if reply.status == 429]:
                visit.last = refused[0]
                return True
            visit.last = replies[-1]
    return False


def _throttled_with_a_problem(visit: Visitor) -> bool:
    return (
        _throttled(visit)
        and visit.last is not None
        and visit.last.is_problem(429)
        and "Retry-After" in visit.last.headers
    )


CHECKS = (
    Check("the stack is ready: /health answers, roles and mappings work", ready),
    Check(
        "without a token 401, as problem+json",
        lambda visit: visit("GET", "/orders", Authorization="").is_problem(401),
    ),
    Check(
        "an invalid input is 422, as problem+json",
        lambda visit: visit.place(input={"pieces": "many"}).is_problem(422),
    ),
    Check(
        "an unknown order is 404, as problem+json",
        lambda visit: visit("GET", f"/orders/{'0' * 26}").is_problem(404),
    ),
    Check(
        "an unknown route is 404 without a token, as problem+json",
        lambda visit: visit("GET", "/nothing", Authorization="").is_problem(404),
        _NO_GATEWAY_RESPONSES,
        ("rest",),
    ),
    Check(
        "an unknown route is 404 with a Bearer token, as problem+json",
        lambda visit: visit("GET", "/nothing").is_problem(404),
        _NO_GATEWAY_RESPONSES,
        ("rest",),
    ),
    Check(
        "the app answers an unknown route with 404, as problem+json",
        lambda visit: visit("GET", "/nothing", Authorization="").is_problem(404),
        fronts=("http", "url"),
    ),
    Check(
        "an unknown method is 405, as problem+json, with the known ones in Allow",
        _unknown_method,
        fronts=("http", "url"),
    ),
    Check("SAM's second stage, /Stage, does not exist", _no_second_stage, fronts=("rest",)),
    Check("HEAD is 404, without a body", _no_head, _NO_GATEWAY_RESPONSES, ("rest",)),
    Check(
        "OPTIONS allows the origin of CorsOrigins",
        _preflight,
        "the local cloud refuses the pages of other origins",
    ),
    Check("the board is served as HTML", lambda visit: visit("GET", "/board").type == "text/html"),
    Check("an order is accepted and ends in SUCCESS", lambda visit: visit.succeeds(visit.place())),
    Check("the same Idempotency-Key gives the same order", _same_twice),
    Check("the list shows the newest order first, and its `next` leads on", _listed),
    Check(
        "links are URLs of the stage",
        _linked,
        "the local cloud's functions see another path than its clients",
    ),
    Check("a delayed order does not run before its time", _delayed),
    Check("a cancelled order can be retried, and ends in SUCCESS", _cancelled_and_retried),
    Check("an attempt that failed is followed by another", _tried_again),
    Check("a task that can't succeed ends in FAILED at once", _fails),
    Check("a task's follow-up order runs", _followed_up),
    Check(
        "a file is uploaded, a task reads it, and the file that it returns is downloaded", _files
    ),
    Check("S3 refuses other bytes than those of the file", _other_bytes_refused),
    Check("the sweeper sends an order that has no message", aws_checks.swept),
    Check("the sweeper's schedule is enabled", aws_checks.scheduled),
    Check("a dead letter ends its order", aws_checks.settled),
)
AFTER_MEASURING = (
    Check("a burst over the stage's throttle is 429", _throttled, fronts=("rest",)),
    Check(
        "that 429 is problem+json with Retry-After",
        _throttled_with_a_problem,
        _NO_GATEWAY_RESPONSES,
        ("rest",),
    ),
    Check(
        "a burst over the throttle of the HTTP API is 429",
        _throttled,
        "the local cloud does not throttle HTTP APIs",
        ("http",),
    ),
    Check(
        "log lines became metrics",
        aws_checks.counted,
        "the local cloud makes no metrics of log lines",
    ),
    Check(
        "every alarm has left INSUFFICIENT_DATA",
        aws_checks.alarms_evaluated,
        "the local cloud makes no metrics, so none of its alarms is evaluated",
    ),
    Check(
        "no function was denied an AWS call",
        aws_checks.nothing_denied,
        "the local cloud checks no rights",
    ),
    Check(
        "the last element of a set can be deleted",
        None,
        "only tokens have a set, and nothing deletes from it",
    ),
    Check("doctor finds nothing wrong", aws_checks.healthy),
)
