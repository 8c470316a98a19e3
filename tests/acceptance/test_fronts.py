"""Each front of the template, deployed on the local cloud: the same answers to all requests."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from chalicelib import auth
from dev.deploy import data, stack
from dev.packaging.package import Package, package
from testkit.cloud import Reply
from tests.acceptance.conftest import LocalCloud
from tests.acceptance.stack import PATIENCE_S

pytestmark = pytest.mark.local

NUGGETS = {"task": "cook_nuggets", "input": {"pieces": 1}}
FRONT_RESOURCES = {
    "rest": {"APIHandlerInvokePermission", "RestAPI", "RestAPIapiStage"},
    "http": {"HttpApi", "HttpApiIntegration", "HttpApiPermission", "HttpApiRoute", "HttpApiStage"},
    "url": {"Url", "UrlInvokePermission", "UrlPermission"},
}


@dataclass(frozen=True)
class Deployed:
    """A deployed stack.

    `prefix` is the part of its paths that the function does not see, `address` its URL as the
    function sees it: for a function URL that on AWS.
    """

    front: str
    name: str
    host: str
    prefix: str
    address: str
    token: str

    def http(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        """Send a request with the token, unless `headers` has another; empty ones are left out."""
        sent = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            **(headers or {}),
        }
        sent = {name: value for name, value in sent.items() if value}
        raw = json.dumps(body).encode() if body is not None else None
        connection = HTTPConnection(self.host, timeout=PATIENCE_S)
        try:
            connection.request(method, f"{self.prefix}{self.stage}{path}", raw, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            fields = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, fields, text)
        finally:
            connection.close()

    @property
    def stage(self) -> str:
        """The prefix of the paths that the function sees: only a REST API has a named stage."""
        return "/api" if self.front == "rest" else ""

    def place(self, **more: Any) -> Any:
        reply = self.http("POST", "/orders", {**NUGGETS, **more})
        assert reply.status == 202, reply.body
        return reply.json

    def until_done(self, order_id: str) -> Any:
        for _ in range(300):
            order = self.http("GET", f"/orders/{order_id}").json
            if order["done"]:
                return order
            time.sleep(0.1)
        raise AssertionError(f"not done: {order}")


@pytest.fixture(scope="module")
def built(local_cloud: LocalCloud) -> Package:
    return package("dev", this_machine=True)


@pytest.fixture(scope="module", params=["rest", "http", "url"])
def deployed(
    request: pytest.FixtureRequest, local_cloud: LocalCloud, built: Package
) -> Iterator[Deployed]:
    name = f"front-{request.param}"
    origin = f"http://127.0.0.1:{local_cloud.port}"  # the local cloud refuses other ones
    parameters = {"Front": request.param, "CorsOrigins": origin, "ApiReserved": "5"}
    try:
        api = urlsplit(stack.deploy(name, built, parameters)["API"])
        token, record = auth.issue("kit")
        local_cloud.client("dynamodb").put_item(
            TableName=f"{name}-tokens", Item=auth.encode(record)
        )
        prefix = api.path.removesuffix("/api")
        address = f"{origin}{api.path.removeprefix(prefix)}"
        if request.param == "url":
            address = (
                boto3.client("lambda")
                .get_function_url_config(FunctionName=stack.resources(name)["APIHandler"][1])[
                    "FunctionUrl"
                ]
                .rstrip("/")
            )
        yield Deployed(request.param, name, api.netloc, prefix, address, token)
    finally:
        stack.destroy(name)
        data.delete(name)


def problem(reply: Reply) -> tuple[int, str, str]:
    """Return the status and the type of a problem. Fails if the reply is none."""
    assert reply.headers["content-type"] == "application/problem+json", reply
    assert reply.json["status"] == reply.status
    return reply.status, reply.json["type"], reply.headers["x-request-id"]


def test_the_stack_has_the_resources_of_its_front_alone(deployed: Deployed) -> None:
    resources = stack.resources(deployed.name)

    for front, names in FRONT_RESOURCES.items():
        expected = names if front == deployed.front else set()
        assert names & set(resources) == expected, front


def test_an_order_is_placed_and_its_location_leads_to_its_success(deployed: Deployed) -> None:
    reply = deployed.http("POST", "/orders", NUGGETS)

    assert reply.status == 202, reply.body
    order = reply.json
    link = f"{deployed.address}/orders/{order['id']}"
    assert reply.headers["location"] == order["links"]["self"] == link
    assert deployed.until_done(order["id"])["status"] == "SUCCESS"


def test_the_same_key_places_one_order(deployed: Deployed) -> None:
    first, second = (
        deployed.http("POST", "/orders", NUGGETS, {"Idempotency-Key": "once"}) for _ in range(2)
    )

    assert first.json["id"] == second.json["id"]
    assert second.headers["idempotency-replayed"] == "true"


def test_an_unchanged_order_is_304_with_its_tag(deployed: Deployed) -> None:
    path = f"/orders/{deployed.place(delay_s=600)['id']}"
    tag = deployed.http("GET", path).headers["etag"]

    again = deployed.http("GET", path, headers={"If-None-Match": tag})

    assert (again.status, again.body, again.headers["etag"]) == (304, "", tag)


def test_the_list_takes_a_parameter_twice_and_leads_to_the_next_page(deployed: Deployed) -> None:
    waiting = deployed.place(delay_s=600)["id"]
    cancelled = deployed.place(delay_s=600)["id"]
    assert deployed.http("POST", f"/orders/{cancelled}/cancel").status == 200

    page = deployed.http("GET", "/orders?status=PENDING&status=CANCELLED&limit=1").json
    assert [order["id"] for order in page["items"]] == [cancelled]
    query = urlsplit(page["next"]).query
    following = deployed.http("GET", f"/orders?{query}").json
    assert [order["id"] for order in following["items"]] == [waiting]


def test_an_empty_parameter_is_refused(deployed: Deployed) -> None:
    reply = deployed.http("GET", "/orders?status=")

    assert problem(reply)[:2] == (400, "/problems/invalid-parameter")


def test_an_order_is_cancelled_and_retried(deployed: Deployed) -> None:
    path = f"/orders/{deployed.place(delay_s=2)['id']}"

    cancelled = deployed.http("POST", f"{path}/cancel")
    assert (cancelled.status, cancelled.json["status"]) == (200, "CANCELLED")
    again = deployed.http("POST", f"{path}/cancel")
    retried = deployed.http("POST", f"{path}/retry")

    assert again.status == 200
    assert retried.status == 202
    assert deployed.until_done(retried.json["id"])["status"] == "SUCCESS"


def test_a_request_without_a_valid_token_is_401(deployed: Deployed) -> None:
    missing = deployed.http("GET", "/orders", headers={"Authorization": ""})
    wrong = deployed.http("GET", "/orders", headers={"Authorization": "Bearer ol_00000000_0"})

    assert problem(missing)[:2] == (401, "/problems/unauthorized")
    assert problem(wrong)[:2] == (401, "/problems/invalid-token")


def test_a_wrong_input_is_422_with_its_pointer(deployed: Deployed) -> None:
    wrong = {"task": "cook_nuggets", "input": {"pieces": "many"}}
    reply = deployed.http("POST", "/orders", wrong, {"X-Request-Id": "mine"})

    assert problem(reply) == (422, "/problems/invalid-input", "mine")
    assert reply.json["pointer"] == "/input/pieces"


def test_an_unknown_order_is_404(deployed: Deployed) -> None:
    assert problem(deployed.http("GET", f"/orders/{'0' * 26}"))[:2] == (404, "/problems/not-found")


def test_a_request_without_a_route_is_404_or_405(deployed: Deployed) -> None:
    if deployed.front == "rest":
        pytest.skip("the gateway answers, and ministack ignores its responses in a definition")
    nowhere = deployed.http("GET", "/nowhere", headers={"Authorization": ""})
    other = deployed.http("DELETE", "/orders")
    head = deployed.http("HEAD", "/health")

    assert problem(nowhere)[:2] == (404, "/problems/not-found")
    assert problem(other)[:2] == (405, "/problems/method-not-allowed")
    assert other.headers["allow"] == "GET, OPTIONS, POST"
    assert (head.status, head.headers["allow"]) == (405, "GET, OPTIONS")


def test_a_page_of_an_allowed_origin_may_call_it(deployed: Deployed) -> None:
    origin = {"Origin": f"http://{deployed.host}", "Authorization": ""}
    asked = {**origin, "Access-Control-Request-Method": "POST"}

    refused = deployed.http("GET", "/orders", headers=origin)
    assert refused.status == 401
    assert refused.headers["access-control-allow-origin"] == origin["Origin"]
    if deployed.front == "http":
        pytest.skip("ministack answers OPTIONS itself; on AWS the route $default takes it too")
    preflight = deployed.http("OPTIONS", "/orders", headers=asked)
    assert (preflight.status, preflight.body) == (204, "")
    assert preflight.headers["access-control-allow-origin"] == origin["Origin"]
    assert preflight.headers["access-control-allow-methods"] == "POST, GET, OPTIONS"


def test_the_board_is_served_with_its_files(deployed: Deployed) -> None:
    page = deployed.http("GET", "/board", headers={"Authorization": ""})
    script = deployed.http("GET", "/board/board.js", headers={"Authorization": ""})

    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert (script.status, script.headers["content-type"]) == (
        200,
        "text/javascript; charset=utf-8",
    )
