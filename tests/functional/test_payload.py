"""Payload format 2.0, of HTTP APIs and function URLs: the same answers as behind a REST API."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import app as orderline
from chalicelib.web import headers, payload
from testkit import Cloud
from testkit.events import LambdaContext
from tests.kit.front_v2 import answered, event

EVENTS = Path(__file__).parents[1] / "acceptance" / "events"
ROUTES: dict[str, list[str]] = {
    "/orders": ["GET", "POST"],
    "/orders/{order_id}": ["GET"],
    "/orders/bulk": ["POST"],
    "/orders/{order_id}/cancel": ["POST"],
}


def sample(name: str, cloud: Cloud) -> Any:
    """Return an event as AWS sends it, with the kit's token."""
    sent = json.loads((EVENTS / f"{name}.json").read_text())
    sent["headers"]["authorization"] = f"Bearer {cloud.token}"
    return sent


def ask(cloud: Cloud, method: str, path: str, **more: str) -> Any:
    fields = {"Authorization": f"Bearer {cloud.token}", "Content-Type": "application/json", **more}
    return answered(event(method, path, fields))


def test_an_http_api_lists_the_orders_of_repeated_statuses(cloud: Cloud) -> None:
    order_id = cloud.place("cook_nuggets", {"pieces": 6})["id"]

    answer = orderline.app(sample("http_api", cloud), LambdaContext(29))

    assert answer["statusCode"] == 200
    page = json.loads(answer["body"])
    assert [order["id"] for order in page["items"]] == [order_id]
    host = "https://6ed65c39ab.execute-api.eu-central-1.amazonaws.com"
    assert page["items"][0]["links"]["self"] == f"{host}/orders/{order_id}"


def test_a_function_url_places_an_order_and_its_location_is_its_own(cloud: Cloud) -> None:
    sent = sample("function_url", cloud)

    answer = orderline.app(sent, LambdaContext(29))

    order = json.loads(answer["body"])
    link = f"https://{sent['headers']['host']}/orders/{order['id']}"
    assert answer["statusCode"] == 202
    assert answer["headers"]["Location"] == order["links"]["self"] == link
    assert not answer["multiValueHeaders"], "format 2.0 has no such member"
    cloud.drain()
    assert cloud.get(order["id"])["status"] == "SUCCESS"


def test_a_body_in_base64_is_read(cloud: Cloud) -> None:
    sent = sample("function_url", cloud)
    sent["body"] = base64.b64encode(sent["body"].encode()).decode()
    sent["isBase64Encoded"] = True

    assert orderline.app(sent, LambdaContext(29))["statusCode"] == 202


def test_a_body_that_is_no_text_is_refused(cloud: Cloud) -> None:
    sent = sample("function_url", cloud)
    sent["body"] = '{"task": "\ud800"}'

    answer = orderline.app(sent, LambdaContext(29))

    assert answer["statusCode"] == 400
    assert json.loads(answer["body"])["type"] == "/problems/invalid-json"


def test_a_test_event_of_the_console_may_have_no_headers(cloud: Cloud) -> None:
    sent = json.loads((EVENTS / "api.json").read_text())
    sent.update(headers=None, multiValueHeaders=None)

    assert orderline.app(sent, LambdaContext(29))["statusCode"] == 200


@pytest.fixture
def own_route() -> Iterator[str]:
    """Add a route as a user does in app.py."""

    @orderline.app.route("/own/{name}")
    def own(name: str) -> dict[str, str]:
        return {"name": name}

    yield "/own/nuggets"
    del orderline.app.routes["/own/{name}"]


def test_a_route_of_your_own_is_answered_by_chalice_behind_every_front(
    cloud: Cloud, own_route: str
) -> None:
    rest = json.loads((EVENTS / "api.json").read_text())
    rest["requestContext"].update(httpMethod="GET", resourcePath="/own/{name}")
    rest["pathParameters"] = {"name": "nuggets"}

    for answer in (
        orderline.app(rest, LambdaContext(29)),
        orderline.app(event("GET", own_route, {}), LambdaContext(29)),
    ):
        assert (answer["statusCode"], json.loads(answer["body"])) == (200, {"name": "nuggets"})


def test_format_1_of_an_http_api_needs_no_change(cloud: Cloud) -> None:
    sent = json.loads((EVENTS / "api.json").read_text())
    sent["version"] = "1.0"
    sent["headers"]["Authorization"] = f"Bearer {cloud.token}"

    assert orderline.app(sent, LambdaContext(29))["statusCode"] == 200


def test_an_unchanged_order_is_304_without_a_body(cloud: Cloud) -> None:
    order_id = cloud.place("cook_nuggets", {"pieces": 6})["id"]
    tag = ask(cloud, "GET", f"/orders/{order_id}").headers["ETag"]

    again = ask(cloud, "GET", f"/orders/{order_id}", **{"If-None-Match": tag})

    assert (again.status_code, again.body) == (304, b"")
    assert again.headers["ETag"] == tag


def test_an_empty_value_of_a_parameter_is_refused_as_behind_a_rest_api(cloud: Cloud) -> None:
    for path in ("/orders?status=", "/orders?limit=", "/orders?nothing"):
        answer = ask(cloud, "GET", path)
        assert (answer.status_code, answer.json_body["type"]) == (
            400,
            "/problems/invalid-parameter",
        ), path


def test_a_path_is_matched_as_it_was_sent(cloud: Cloud) -> None:
    order_id = cloud.place("cook_nuggets", {"pieces": 6})["id"]
    quoted = f"%{ord(order_id[0]):02X}{order_id[1:]}"

    assert ask(cloud, "GET", f"/orders/{quoted}").json_body["id"] == order_id
    assert ask(cloud, "GET", f"/orders/{order_id}/").json_body["id"] == order_id
    assert ask(cloud, "POST", f"/orders/{order_id}%2Fcancel").status_code == 405
    assert cloud.get(order_id)["status"] == "PENDING"


@pytest.mark.parametrize("path", ["/", "", "/nowhere", "/orders//", "/api/orders", "/Orders", "//"])
def test_a_path_without_a_route_is_a_404_problem(path: str) -> None:
    sent = event("GET", path)

    answer = answered(sent)

    assert answer.status_code == 404
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert set(headers.SECURITY) <= set(answer.headers)
    problem = answer.json_body
    assert (problem["type"], problem["status"]) == ("/problems/not-found", 404)
    request_id = sent["requestContext"]["requestId"]
    assert answer.headers["X-Request-Id"] == problem["request_id"] == request_id


@pytest.mark.parametrize("method", ["DELETE", "HEAD", "BREW"])
def test_another_method_of_a_route_is_a_405_problem_that_names_its_own(
    cloud: Cloud, method: str
) -> None:
    answer = ask(cloud, method, "/orders", **{"X-Request-Id": "mine-1"})

    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, OPTIONS, POST"
    assert answer.json_body["type"] == "/problems/method-not-allowed"
    assert answer.headers["X-Request-Id"] == answer.json_body["request_id"] == "mine-1"


def test_a_page_of_an_allowed_origin_may_ask(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", "https://shop.example")

    answer = ask(cloud, "OPTIONS", "/orders", Origin="https://shop.example")
    unknown = ask(cloud, "GET", "/nowhere", Origin="https://shop.example")

    assert (answer.status_code, answer.body) == (204, b"")
    assert answer.headers["Access-Control-Allow-Methods"] == "POST, GET, OPTIONS"
    assert unknown.headers["Access-Control-Allow-Origin"] == "https://shop.example"


def test_without_a_token_the_answer_is_401(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCESS", "token")

    answer = answered(event("GET", "/orders"))

    assert (answer.status_code, answer.json_body["type"]) == (401, "/problems/unauthorized")


def test_a_path_without_parameters_precedes_one_with_them() -> None:
    assert payload.find("/orders/bulk", ROUTES) == payload.Match("/orders/bulk", {})
    assert payload.find("/orders/76K", ROUTES) == payload.Match(
        "/orders/{order_id}", {"order_id": "76K"}
    )
    assert payload.find("/orders/76K/cancel", ROUTES) == payload.Match(
        "/orders/{order_id}/cancel", {"order_id": "76K"}
    )
    assert payload.find("/orders/76K/retry", ROUTES) is None


def test_every_path_of_the_app_is_found() -> None:
    for route in orderline.app.routes:
        match = payload.find(route.replace("{", "").replace("}", ""), orderline.app.routes)
        assert match is not None, route
        assert match.route == route
