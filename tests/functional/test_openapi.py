"""The description of the API is the API: held to app.routes, to the registry, and to what is answered."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import jsonschema
import pytest

import app as orderline
from chalicelib.execution.context import Context
from chalicelib.tasks import task
from chalicelib.web import headers, problems, schemas
from chalicelib.web.operations import OPERATIONS
from tests.kit import Cloud, Reply, template

NUGGETS = {"task": "cook_nuggets", "input": {"pieces": 1}}
SOUP = {"order": {"dish": "soup"}}


@dataclass
class Order:
    """A type of a task's, named as one of our schemas is."""

    dish: str


def _document(cloud: Cloud) -> Any:
    return cloud.http("GET", "/openapi.json", headers={"Authorization": ""}).json


def _hold(document: Any, route: str, reply: Reply) -> None:
    """The answer is one that the description tells of: its status, headers, body."""
    method, path = route.split()
    told = document["paths"][path][method.lower()]["responses"]
    assert str(reply.status) in told, (route, reply.status)
    answer = told[str(reply.status)]
    assert set(reply.headers) <= set(answer["headers"]) | {"Content-Type"}, (route, reply.status)
    if not reply.body:
        assert "content" not in answer
        return
    kind = reply.headers["Content-Type"].partition(";")[0]
    assert kind in answer["content"] or "*/*" in answer["content"], (route, kind)
    if "json" in kind and route != "GET /openapi.json":
        schema = {**answer["content"][kind]["schema"], "components": document["components"]}
        jsonschema.validate(reply.json, schema)


def test_every_route_is_told_of_and_no_other(cloud: Cloud) -> None:
    routes = {
        f"{method} {path}" for path, methods in orderline.app.routes.items() for method in methods
    }

    told = {
        f"{method.upper()} {path}"
        for path, methods in _document(cloud)["paths"].items()
        for method in methods
    }

    assert told == {route for route in routes if not route.startswith("OPTIONS")} == set(OPERATIONS)


def test_the_description_is_a_valid_one(cloud: Cloud) -> None:
    document = _document(cloud)

    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document)):
        found = document
        for part in reference.split("/"):
            found = found[part]
    assert document["openapi"] == "3.1.0"


def test_a_new_task_is_in_it(cloud: Cloud) -> None:
    @task
    def greet(name: str, times: int = 1) -> str:
        return name * times

    named = _document(cloud)["components"]["schemas"]

    assert {"$ref": "#/components/schemas/NewOrder_greet"} in named["NewOrder"]["oneOf"]
    assert named["NewOrder_greet"]["properties"]["task"]["const"] == "greet"
    assert named["NewOrder_greet"]["properties"]["input"]["required"] == ["name"]


def test_a_task_and_its_types_may_have_the_names_of_our_own_schemas(cloud: Cloud) -> None:
    @task
    def problem(order: Order) -> None: ...

    document = _document(cloud)
    checker = jsonschema.Draft202012Validator(
        {"$ref": "#/components/schemas/NewOrder", "components": document["components"]}
    )

    _hold(
        document,
        "GET /orders/{order_id}",
        cloud.http("GET", f"/orders/{cloud.place('problem', SOUP)['id']}"),
    )
    assert checker.is_valid({"task": "problem", "input": SOUP})
    assert not checker.is_valid({"task": "problem", "input": {"order": {"dish": 1}}})


def test_generated_clients_name_operations_as_the_app_does(cloud: Cloud) -> None:
    for path, methods in _document(cloud)["paths"].items():
        for method, operation in methods.items():
            handler = orderline.app.routes[path][method.upper()].view_function
            assert operation["operationId"] == handler.__name__


def test_a_title_is_no_second_name_of_a_schema(cloud: Cloud) -> None:
    """Generators name a class by the schema's title: two schemas with one title would be one class."""
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
        ([], False),
    ],
)
def test_what_its_schema_takes_is_what_is_taken(cloud: Cloud, body: Any, fits: bool) -> None:
    document = _document(cloud)
    schema = {"$ref": "#/components/schemas/NewOrder", "components": document["components"]}

    reply = cloud.http("POST", "/orders", body)

    assert jsonschema.Draft202012Validator(schema).is_valid(body) == fits == (reply.status == 202)
    _hold(document, "POST /orders", reply)


def test_what_is_answered_is_what_is_told(cloud: Cloud) -> None:
    document = _document(cloud)
    order_id = cloud.place("cook_nuggets", {"pieces": 1})["id"]

    def held(route: str, path: str = "", body: Any = None, **sent: str) -> Reply:
        method, pattern = route.split()
        given = {name.replace("_", "-"): value for name, value in sent.items()}
        reply = cloud.http(method, (path or pattern).replace("{order_id}", order_id), body, given)
        _hold(document, route, reply)
        return reply

    seen = set()
    for route in OPERATIONS:
        seen |= {
            (route, held(route, route.split()[1].replace("{file}", "board.css"), NUGGETS).status)
        }
        seen |= {
            (
                route,
                held(
                    route, route.split()[1].replace("{file}", "x"), Authorization="Bearer x"
                ).status,
            )
        }
    held("POST /orders", "", NUGGETS, Prefer="wait=1", Idempotency_Key="k")
    held("POST /orders", "", NUGGETS, Idempotency_Key="k")
    held("POST /orders", "", {**NUGGETS, "delay_s": 1}, Idempotency_Key="k")
    held("POST /orders", "", NUGGETS, Content_Type="text/plain")
    held("POST /orders", "", b"{" + b" " * 80000)
    held("POST /orders", "", b"{")
    held("POST /orders/{order_id}/cancel")
    held("POST /orders/{order_id}/retry")
    cloud.drain()
    held("POST /orders/{order_id}/cancel")
    held("GET /orders", "/orders?limit=1")
    held("GET /orders", "/orders?cursor=x")
    held("GET /orders", "", None, If_None_Match="*")
    held("GET /orders/{order_id}", "/orders/{order_id}?include=input,history")
    held("GET /orders/{order_id}", "", None, If_None_Match="*")
    held("GET /orders/{order_id}", "/orders/nothing")
    cloud.dynamodb.delete_table(TableName="orderline-dev-orders")
    assert {held(route, "", NUGGETS).status for route in OPERATIONS if "/orders" in route} == {503}
    assert ("POST /orders", 401) in seen


def test_an_order_that_runs_is_shown_as_told(cloud: Cloud) -> None:
    shown = []

    @task
    def bake(order: Context) -> None:
        order.progress(40, "in the oven")
        shown.append(cloud.http("GET", f"/orders/{order.id}?include=history"))

    cloud.place("bake")
    cloud.drain()

    assert shown[0].json["progress"] == {"percent": 40, "word": "in the oven"}
    assert [attempt["ended_at"] for attempt in shown[0].json["history"]] == [None]
    _hold(_document(cloud), "GET /orders/{order_id}", shown[0])


def test_every_problem_type_and_header_is_told_of(cloud: Cloud) -> None:
    told = json.dumps(_document(cloud))
    everywhere = {name for operation in OPERATIONS.values() for name in operation.all_problems}

    assert everywhere | {"method-not-allowed"} == set(problems.TYPES), (
        "405 is for a method that isn't told of"
    )
    assert all(f'"#/components/headers/{name}"' in told for name in schemas.HEADERS)
    assert all(
        name in headers.SHOWN
        for name in schemas.HEADERS
        if name not in (*headers.SECURITY, "Vary", "Cache-Control")
    )


def test_the_docs_page_shows_every_route_and_loads_nothing(cloud: Cloud) -> None:
    reply = cloud.http("GET", "/docs", headers={"Authorization": ""})

    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    assert len(reply.body) < 30_000
    for route in OPERATIONS:
        method, path = route.split()
        assert f"<b>{method}</b> {path}" in reply.body
    assert not re.search(r"<script|<link|<img|src=|@import|url\(", reply.body)
    assert "style-src 'sha256-" in reply.headers["Content-Security-Policy"]


def test_what_the_gateway_answers_itself_are_problems_of_ours() -> None:
    responses = template.load()["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]

    assert {"MISSING_AUTHENTICATION_TOKEN", "THROTTLED", "DEFAULT_4XX", "DEFAULT_5XX"} <= set(
        responses
    )
    for name, given in responses.items():
        text = given["ResponseTemplates"]["application/json"]
        assert "$context.error" not in text, "the gateway's own words name its insides"
        body, sent = json.loads(text), given["ResponseParameters"]["Headers"]
        status, title = problems.TYPES[body["type"].removeprefix("/problems/")]
        assert (given["StatusCode"], body["status"], body["title"]) == (status, status, title), name
        assert sent["Content-Type"] == "'application/problem+json'"
        assert set(headers.SECURITY) <= set(sent)
        assert ("Retry-After" in sent) == (
            "Retry-After" in problems.HEADERS.get(body["type"][10:], {})
        )


def test_the_gateway_answers_an_unknown_route_with_404_whatever_authorization_was_sent() -> None:
    """It takes any Authorization for a signature of AWS's where it has no route: no reason to speak of signatures."""
    responses = template.load()["Resources"]["RestAPI"]["Properties"]["GatewayResponses"]

    for name in (
        "MISSING_AUTHENTICATION_TOKEN",
        "INVALID_SIGNATURE",
        "EXPIRED_TOKEN",
        "ACCESS_DENIED",
    ):
        assert responses[name]["StatusCode"] == 404
        assert '"/problems/not-found"' in responses[name]["ResponseTemplates"]["application/json"]


def test_every_answer_names_its_request(cloud: Cloud) -> None:
    given = cloud.http("GET", "/orders/x", headers={"X-Request-Id": "mine-1"})
    strange = [
        cloud.http("GET", "/orders/x", headers={"X-Request-Id": text})
        for text in ("", "a b", "é", "x" * 129)
    ]

    assert given.headers["X-Request-Id"] == given.json["request_id"] == "mine-1"
    assert len({reply.headers["X-Request-Id"] for reply in strange}) == 4, "the platform's own"


def test_no_origin_is_allowed_unless_the_setting_lists_it(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Authorization": "",
    }
    closed = cloud.http("OPTIONS", "/orders", headers=asking)
    origins = "https://a.example https://shop.example"
    monkeypatch.setenv("CORS_ORIGINS", origins)
    opened = cloud.http("OPTIONS", "/orders", headers=asking)
    listed = cloud.http("GET", "/orders", headers={"Origin": "https://shop.example"})
    other = cloud.http("GET", "/orders", headers={"Origin": "https://shop.example.evil.example"})

    assert (closed.status, opened.status) == (204, 204)
    assert not any(
        name.startswith("Access-Control") for name in {**closed.headers, **other.headers}
    )
    assert opened.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "POST" in opened.headers["Access-Control-Allow-Methods"]
    assert listed.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Retry-After" in listed.headers["Access-Control-Expose-Headers"]
