"""The OpenAPI description agrees with app.routes, with the registry and with real answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest

import app as orderline
from chalicelib import auth, building, service
from chalicelib.execution.context import Context
from chalicelib.tasks import task
from chalicelib.web import headers, openapi, problems
from chalicelib.web.operations import api
from testkit import Cloud, Reply, template

NUGGETS = {"task": "cook_nuggets", "input": {"pieces": 1}}
EARLIER = "0" * 26  # the id of an order
SOUP = {"order": {"dish": "soup"}}


@dataclass
class Order:
    """A type of a task that has the name of one of our schemas."""

    dish: str


def _document(cloud: Cloud) -> Any:
    return cloud.http("GET", "/openapi.json", headers={"Authorization": ""}).json


def _assert_described(document: Any, route: str, reply: Reply) -> None:
    """Check that the description has the reply's status, headers and body."""
    method, path = route.split()
    responses = document["paths"][path][method.lower()]["responses"]
    assert str(reply.status) in responses, (route, reply.status)
    answer = responses[str(reply.status)]
    assert set(reply.headers) <= set(answer["headers"]) | {"Content-Type"}, (route, reply.status)
    if not reply.body:
        assert "content" not in answer
        return
    kind = reply.headers["Content-Type"].partition(";")[0]
    assert kind in answer["content"] or "*/*" in answer["content"], (route, kind)
    if "json" in kind and route != "GET /openapi.json":
        schema = {**answer["content"][kind]["schema"], "components": document["components"]}
        jsonschema.validate(reply.json, schema)


def test_every_route_is_described_and_no_other(cloud: Cloud) -> None:
    routes = {
        f"{method} {path}" for path, methods in orderline.app.routes.items() for method in methods
    }

    described = {
        f"{method.upper()} {path}"
        for path, methods in _document(cloud)["paths"].items()
        for method in methods
    }

    registered = {route for route in routes if not route.startswith("OPTIONS")}
    assert described == registered == set(api)


def test_the_description_is_valid(cloud: Cloud) -> None:
    document = _document(cloud)

    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        target = document
        for part in reference.split("/"):
            target = target[part]
    assert document["openapi"] == "3.1.0"


def test_a_new_task_is_in_the_description(cloud: Cloud) -> None:
    @task
    def repeat_name(name: str, times: int = 1) -> str:
        return name * times

    components = _document(cloud)["components"]["schemas"]

    reference = {"$ref": "#/components/schemas/NewOrder_repeat_name"}
    assert reference in components["NewOrder"]["oneOf"]
    assert components["NewOrder_repeat_name"]["properties"]["task"]["const"] == "repeat_name"
    assert components["NewOrder_repeat_name"]["properties"]["input"]["required"] == ["name"]


def test_a_task_and_its_types_may_have_the_names_of_our_own_schemas(cloud: Cloud) -> None:
    @task
    def problem(order: Order) -> None: ...

    document = _document(cloud)
    checker = jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/NewOrder", "components": document["components"]}
    )

    _assert_described(
        document,
        "GET /orders/{order_id}",
        cloud.http("GET", f"/orders/{cloud.place('problem', SOUP)['id']}"),
    )
    assert checker.is_valid({"task": "problem", "input": SOUP})
    assert not checker.is_valid({"task": "problem", "input": {"order": {"dish": 1}}})


def test_operation_ids_are_the_names_of_the_views(cloud: Cloud) -> None:
    views_by_name = {operation.view.__name__ for operation in api.values()}
    for path, methods in _document(cloud)["paths"].items():
        for method, operation in methods.items():
            name = orderline.app.routes[path][method.upper()].view_name
            assert operation["operationId"] == name
            assert name in views_by_name


def test_a_path_declares_its_parameters() -> None:
    for operation in api.values():
        declared = {each.name for each in operation.parameters if each.location == "path"}
        assert declared == set(re.findall(r"{(\w+)}", operation.path)), operation.id


def test_an_operation_with_query_parameters_rejects_unknown_ones(cloud: Cloud) -> None:
    with_query = [
        operation
        for operation in api.values()
        if any(parameter.location == "query" for parameter in operation.parameters)
    ]

    cloud.token = cloud.new_token("kit", scopes=auth.SCOPES)
    for operation in with_query:
        reply = cloud.http(operation.method, f"{operation.path}?mistake=1")
        assert (reply.status, reply.json["type"]) == (400, "/problems/invalid-parameter")
    assert {operation.id for operation in with_query} >= {"list_orders", "show_order"}


def test_no_schema_has_a_title(cloud: Cloud) -> None:
    """Leave titles out: generators name a class by its schema's title, and titles may collide."""
    assert '"title": "' not in json.dumps(_document(cloud)["components"]["schemas"])


@pytest.mark.parametrize(
    ("body", "fits"),
    [
        (NUGGETS, True),
        ({**NUGGETS, "delay_s": 3}, True),
        ({**NUGGETS, "run_at": "2030-01-31T09:00:00Z"}, True),
        ({**NUGGETS, "delay_s": 3, "run_at": "2030-01-31T09:00:00Z"}, False),
        ({**NUGGETS, "x": 1}, False),
        ({"task": "cook_nuggets"}, False),
        ({"task": "none_such"}, False),
        ({**NUGGETS, "input": {"pieces": 0}}, False),
        ({**NUGGETS, "delay_s": -1}, False),
        ({**NUGGETS, "delay_s": 1e12}, False),
        ({**NUGGETS, "after": [EARLIER]}, True),
        ({**NUGGETS, "after": [EARLIER], "when": "end"}, True),
        ({**NUGGETS, "after": [EARLIER], "when": "never"}, False),
        ({**NUGGETS, "after": [EARLIER], "delay_s": 3}, False),
        ({**NUGGETS, "after": [EARLIER], "run_at": "2030-01-31T09:00:00Z"}, False),
        ({**NUGGETS, "after": [], "delay_s": 3}, True),
        ({**NUGGETS, "after": [], "when": "end"}, False),
        ({**NUGGETS, "when": "end"}, False),
        ({**NUGGETS, "after": EARLIER}, False),
        ({**NUGGETS, "after": [str(n) for n in range(101)]}, False),
        ([], False),
    ],
)
def test_the_schema_of_a_new_order_accepts_what_the_api_accepts(
    cloud: Cloud, body: Any, fits: bool
) -> None:
    document = _document(cloud)
    schema = {"$ref": "#/components/schemas/NewOrder", "components": document["components"]}
    service.place("kit", building.NewOrder("cook_nuggets", {"pieces": 1}, id=EARLIER))

    reply = cloud.http("POST", "/orders", body)

    assert jsonschema.Draft202012Validator(schema).is_valid(body) == fits == (reply.status == 202)
    _assert_described(document, "POST /orders", reply)


def test_every_answer_is_as_described(cloud: Cloud) -> None:
    document = _document(cloud)
    cloud.token = cloud.new_token("kit", scopes=auth.SCOPES)
    order_id = cloud.place("cook_nuggets", {"pieces": 1})["id"]

    def check(route: str, path: str = "", body: Any = None, **fields: str) -> Reply:
        method, pattern = route.split()
        request_headers = {name.replace("_", "-"): value for name, value in fields.items()}
        url = (path or pattern).replace("{order_id}", order_id).replace("{owner}", "kit")
        reply = cloud.http(method, url, body, request_headers)
        _assert_described(document, route, reply)
        return reply

    answers = set()
    for route in api:
        path = route.split()[1]
        answers.add((route, check(route, path.replace("{file}", "board.css"), NUGGETS).status))
        refused = check(route, path.replace("{file}", "x"), Authorization="Bearer x")
        answers.add((route, refused.status))
    check("POST /orders", "", NUGGETS, Prefer="wait=1", Idempotency_Key="k")
    check("POST /orders", "", NUGGETS, Idempotency_Key="k")
    check("POST /orders", "", {**NUGGETS, "delay_s": 1}, Idempotency_Key="k")
    check("POST /orders", "", NUGGETS, Content_Type="text/plain")
    check("POST /orders", "", b"{" + b" " * 80000)
    check("POST /orders", "", b"{")
    bulk = {"orders": [NUGGETS, {"task": "none"}, 3, {**NUGGETS, "delay_s": 1}]}
    placed = check("POST /orders/bulk", "", bulk, Idempotency_Key="b").json
    check("POST /orders/bulk", "", bulk, Idempotency_Key="b")
    check("POST /orders/bulk", "", {"orders": []}, Idempotency_Key="b")
    check("POST /orders/cancel", "", {"ids": [placed["items"][3]["id"], "none"]})
    check("POST /orders/{order_id}/cancel")
    check("POST /orders/{order_id}/retry")
    cloud.drain()
    check("POST /orders/{order_id}/cancel")
    check("GET /orders", "/orders?limit=1")
    check("GET /orders", "/orders?cursor=x")
    check("GET /orders", "", None, If_None_Match="*")
    check("GET /orders/{order_id}", "/orders/{order_id}?include=input,history")
    check("GET /orders/{order_id}", "", None, If_None_Match="*")
    check("GET /orders/{order_id}", "/orders/nothing")
    _check_operator_s_answers(cloud, check)
    cloud.dynamodb.delete_table(TableName="orderline-dev-orders")
    owned = [{"owner": "kit", "id": order_id}]
    many = {
        "POST /orders/bulk": bulk,
        "POST /orders/cancel": {"ids": [order_id]},
        "POST /operator/retry": {"orders": owned},
        "POST /operator/cancel": {"orders": owned},
    }
    unavailable = {
        check(route, "", many.get(route, NUGGETS), Idempotency_Key="down").status
        for route, operation in api.items()
        if "/orders" in route or operation.scope == auth.ADMIN
    }
    assert unavailable == {503}
    assert ("POST /orders", 401) in answers


def _check_operator_s_answers(cloud: Cloud, check: Callable[..., Reply]) -> None:
    @task(max_attempts=1)
    def burn() -> None:
        raise ValueError

    ids = [cloud.place("burn")["id"] for _ in range(3)]
    cloud.drain()
    since = "2020-01-01T00:00:00Z"
    many = {"task": "burn", "failed_since": since, "limit": 1}
    some = {"orders": [{"owner": "kit", "id": each} for each in (ids[0], "none")]}
    shown = f"/operator/orders/kit/{ids[0]}?include=input,history"
    assert len(check("GET /operator/failures", f"/operator/failures?since={since}").json["items"])
    assert check("GET /operator/durations").json["tasks"]
    check("GET /operator/orders/{owner}/{order_id}", shown)
    check("GET /operator/failures", "/operator/failures?since=never")
    assert check("POST /operator/retry", "", {**many, "dry_run": True}).json["matching"] == 3
    assert check("POST /operator/retry", "", many).json["next"]
    assert check("POST /operator/retry", "", some).json["problems"]
    assert check("POST /operator/retry", "", {**many, "task": "none"}).status == 422
    assert check("POST /operator/cancel", "", some).json["items"]


def test_a_running_order_is_as_described(cloud: Cloud) -> None:
    replies = []

    @task
    def bake(order: Context) -> None:
        order.progress(40, "in the oven")
        replies.append(cloud.http("GET", f"/orders/{order.id}?include=history"))

    cloud.place("bake")
    cloud.drain()

    assert replies[0].json["progress"] == {"percent": 40, "word": "in the oven"}
    assert [attempt["ended_at"] for attempt in replies[0].json["history"]] == [None]
    _assert_described(_document(cloud), "GET /orders/{order_id}", replies[0])


def test_an_order_that_waits_and_one_that_stops_are_as_described(cloud: Cloud) -> None:
    document = _document(cloud)
    first = cloud.place("cook_nuggets", {"pieces": 1})["id"]
    body = {**NUGGETS, "after": [first]}
    placed = cloud.http("POST", "/orders", body)
    unknown = cloud.http("POST", "/orders", {**body, "after": [EARLIER]})
    cloud.claim(first, lease_s=60)
    cancel = f"/orders/{first}/cancel"
    replies = [
        cloud.http("POST", path)
        for path in (cancel, f"{cancel}?running=refuse", f"{cancel}?running=maybe")
    ]

    assert (placed.json["waits_for"], unknown.status) == (1, 422)
    _assert_described(document, "POST /orders", placed)
    _assert_described(document, "POST /orders", unknown)
    assert [reply.status for reply in replies] == [202, 409, 400]
    for reply in replies:
        _assert_described(document, "POST /orders/{order_id}/cancel", reply)


def test_every_problem_type_and_header_is_described(cloud: Cloud) -> None:
    description = json.dumps(_document(cloud))
    described = {name for operation in api.values() for name in operation.all_problems}

    assert described | {"method-not-allowed"} == set(problems.TYPES), (
        "405 is for a method that is not described"
    )
    assert all(f'"#/components/headers/{name}"' in description for name in openapi.HEADERS)
    assert all(
        name in headers.EXPOSED_HEADERS
        for name in openapi.HEADERS
        if name not in (*headers.SECURITY, "Vary", "Cache-Control")
    )


def test_the_docs_page_shows_every_route_and_loads_nothing(cloud: Cloud) -> None:
    reply = cloud.http("GET", "/docs", headers={"Authorization": ""})

    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert len(reply.body) < 90_000
    for route in api:
        method, path = route.split()
        assert f"<b>{method}</b> {path}" in reply.body
    assert "<code>running</code> query" in reply.body
    for member in ("after", "when", "waits_for", "stopping"):
        assert f"&quot;{member}&quot;: {{" in reply.body
    assert not re.search(r"<script|<link|<img|src=|@import|url\(", reply.body)
    assert "style-src 'sha256-" in reply.headers["Content-Security-Policy"]


def test_the_gateways_own_answers_are_problems_too() -> None:
    responses = template.load()["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]

    assert {"MISSING_AUTHENTICATION_TOKEN", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"} <= set(
        responses
    )
    for name, response in responses.items():
        text = response["ResponseTemplates"]["application/json"]
        assert "$context.error" not in text, "the gateway's own words reveal internals"
        body = json.loads(text)
        fields = response["ResponseParameters"]["Headers"]
        kind = problems.TYPES[body["type"].removeprefix("/problems/")]
        assert body["title"] == kind.title, name
        assert response["StatusCode"] == body["status"] == kind.status, name
        assert fields["Content-Type"] == "'application/problem+json'"
        assert set(headers.SECURITY) <= set(fields)
        assert ("Retry-After" in fields) == ("Retry-After" in kind.headers)


def test_the_gateway_answers_an_unknown_route_with_404_for_any_authorization() -> None:
    """Do not mention signatures: without a route the gateway takes any header for a signature."""
    responses = template.load()["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]

    for name in (
        "MISSING_AUTHENTICATION_TOKEN",
        "INVALID_SIGNATURE",
        "EXPIRED_TOKEN",
        "ACCESS_DENIED",
    ):
        assert responses[name]["StatusCode"] == 404
        assert '"/problems/not-found"' in responses[name]["ResponseTemplates"]["application/json"]


def test_every_answer_has_a_request_id(cloud: Cloud) -> None:
    valid = cloud.http("GET", "/orders/x", headers={"X-Request-Id": "mine-1"})
    invalid = [
        cloud.http("GET", "/orders/x", headers={"X-Request-Id": text})
        for text in ("", "a b", "é", "x" * 129)
    ]

    assert valid.headers["X-Request-Id"] == valid.json["request_id"] == "mine-1"
    assert len({reply.headers["X-Request-Id"] for reply in invalid}) == 4, "the platform's own"


def test_no_origin_is_allowed_unless_the_setting_lists_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    preflight = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Authorization": "",
    }
    closed = cloud.http("OPTIONS", "/orders", headers=preflight)
    origins = "https://a.example https://shop.example"
    monkeypatch.setenv("CORS_ORIGINS", origins)
    opened = cloud.http("OPTIONS", "/orders", headers=preflight)
    allowed = cloud.http("GET", "/orders", headers={"Origin": "https://shop.example"})
    other = cloud.http("GET", "/orders", headers={"Origin": "https://shop.example.evil.example"})

    assert (closed.status, opened.status) == (204, 204)
    assert not any(
        name.startswith("Access-Control") for name in {**closed.headers, **other.headers}
    )
    assert opened.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "POST" in opened.headers["Access-Control-Allow-Methods"]
    assert allowed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Retry-After" in allowed.headers["Access-Control-Expose-Headers"]
