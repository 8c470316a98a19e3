"""Mistakes in POST /orders: each is answered with a 4xx problem, and nothing of it is stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from chalicelib.tasks import task
from testkit import Cloud, Reply

ORDER = {"task": "cook_nuggets", "input": {"pieces": 6}}


def refused(
    cloud: Cloud, body: Any, status: int, name: str, headers: dict[str, str] | None = None
) -> Any:
    """Send a body that is refused, and return the problem; nothing is stored or queued."""
    reply = cloud.http("POST", "/orders", body, headers)
    problem = problem_of(reply)
    assert (reply.status, problem["type"]) == (status, f"/problems/{name}"), reply.body
    assert cloud.rows() == []
    assert cloud.messages() == 0
    return problem


def problem_of(reply: Reply) -> Any:
    problem = reply.json
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert problem["status"] == reply.status
    assert all(problem[member] for member in ("type", "title", "detail", "request_id"))
    return problem


def with_input(text: str) -> bytes:
    """Return an order's body with this text as its input."""
    return b'{"task": "cook_nuggets", "input": ' + text.encode() + b"}"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "empty", id="no body"),
        pytest.param(b" \n\t ", "empty", id="blank"),
        pytest.param(b"task=cook_nuggets", "line 1, column 1", id="a form"),
        pytest.param(b'{"task": "cook_nuggets"', "line 1, column 24", id="cut short"),
        pytest.param(b"{'task': 'cook_nuggets'}", "column 2", id="single quotes"),
        pytest.param(json.dumps(ORDER).encode() + b" x", "Extra data", id="trailing bytes"),
        pytest.param(json.dumps(ORDER).encode() * 2, "Extra data", id="two orders"),
        pytest.param(json.dumps(ORDER).encode() + b"\x00", "Extra data", id="trailing NUL"),
        pytest.param(
            b'{"task": "cook\nnuggets"}', "control character", id="a raw newline in a string"
        ),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(ORDER).encode(), "byte order mark", id="BOM"),
        pytest.param(json.dumps(ORDER).encode("utf-16"), "not valid UTF-8", id="UTF-16"),
        pytest.param(json.dumps(ORDER).encode("utf-16-le"), "line 1", id="UTF-16 without its mark"),
        pytest.param(b'{"task": "gr\xfc\xdfe"}', "not valid UTF-8", id="Latin-1"),
        pytest.param(b'{"task": "\xed\xa0\x80"}', "not valid UTF-8", id="a surrogate as bytes"),
        pytest.param(with_input('{"pieces": NaN}'), "NaN is not a JSON number", id="NaN"),
        pytest.param(
            with_input('{"pieces": Infinity}'), "Infinity is not a JSON number", id="Infinity"
        ),
        pytest.param(
            with_input('{"pieces": -Infinity}'), "-Infinity is not a JSON number", id="-Infinity"
        ),
        pytest.param(with_input('{"pieces": 1e999}'), "1e999 is too large", id="1e999"),
        pytest.param(with_input('{"pieces": -1e999}'), "-1e999 is too large", id="-1e999"),
        pytest.param(
            with_input('{"pieces": 1' + "0" * 5000 + "}"), "too many digits", id="10^5000"
        ),
        pytest.param(
            b'{"task": "a", "task": "cook_nuggets"}', "duplicate member 'task'", id="a member twice"
        ),
        pytest.param(
            with_input('{"pieces": 6, "pieces": 6}'),
            "duplicate member 'pieces'",
            id="the same value twice",
        ),
        pytest.param(
            with_input('[[{"a": 1, "\\u0061": 2}]]'),
            "duplicate member 'a'",
            id="twice, escaped, in arrays",
        ),
        pytest.param(with_input('{"sauce": "\\ud800"}'), "surrogate", id="a lone surrogate"),
        pytest.param(
            with_input('{"sauce": "x\\udc00\\ud800"}'), "surrogate", id="a pair the wrong way round"
        ),
        pytest.param(with_input('{"\\udfff": 1}'), "surrogate", id="a lone surrogate as key"),
        pytest.param(
            with_input('[1, [2, ["\\ud800"]]]'),
            "surrogate",
            id="a lone surrogate in arrays in arrays",
        ),
        pytest.param(
            with_input('[[{"a": [["\\ud800"]]}]]'),
            "surrogate",
            id="a lone surrogate in an object in arrays",
        ),
        pytest.param(b"[" * 65 + b"]" * 65, "deeper than 64", id="65 arrays"),
        pytest.param(with_input('{"a":' * 64 + "1" + "}" * 64), "deeper than 64", id="65 objects"),
        pytest.param(b"[" * 60_000, "deeper than 64", id="60,000 brackets"),
    ],
)
def test_a_body_that_is_not_strict_json_is_400_with_the_reason(
    cloud: Cloud, body: bytes, message: str
) -> None:
    assert message in refused(cloud, body, 400, "invalid-json")["detail"]


def test_two_million_brackets_are_too_large_and_are_never_parsed(cloud: Cloud) -> None:
    assert "2000000 bytes" in refused(cloud, b"[" * 2_000_000, 413, "too-large")["detail"]


def test_64_levels_are_read_and_brackets_in_strings_do_not_count(cloud: Cloud) -> None:
    @task
    def take(value: list[Any], text: str) -> None: ...

    nested = "[" * 62 + "]" * 62
    text = '{"task": "take", "input": {"value": ' + nested + ', "text": "' + '[{\\"' * 100 + '"}}'

    assert cloud.http("POST", "/orders", text.encode()).status == 202


def test_a_surrogate_pair_is_one_character(cloud: Cloud) -> None:
    @task
    def echo(text: str) -> str:
        return text

    body = b'{"task": "echo", "input": {"text": "\\ud83d\\ude00"}}'
    order = cloud.http("POST", "/orders", body).json
    cloud.drain()

    assert cloud.get(order["id"])["result"] == "😀"


@pytest.mark.parametrize(
    "value", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", ""]
)
def test_another_content_type_is_415(cloud: Cloud, value: str) -> None:
    problem = refused(cloud, ORDER, 415, "unsupported-media-type", {"Content-Type": value})

    assert repr(value) in problem["detail"]


def test_a_body_over_the_limit_is_413_before_it_is_parsed(cloud: Cloud) -> None:
    assert "1016384" in refused(cloud, b'"' + b"x" * 1_016_384, 413, "too-large")["detail"]


def test_an_input_over_the_limit_is_413_even_in_a_body_within_it(cloud: Cloud) -> None:
    @task
    def store_text(text: str) -> None: ...

    longest = 1_000_000 - len('{"text":""}')
    problem = refused(
        cloud, {"task": "store_text", "input": {"text": "x" * (longest + 1)}}, 413, "too-large"
    )
    assert "1000000" in problem["detail"]

    assert cloud.place("store_text", {"text": "x" * longest})["status"] == "PENDING"


@pytest.mark.parametrize("body", [[], [ORDER], "cook_nuggets", 6, None, True])
def test_a_body_that_is_not_an_object_is_422(cloud: Cloud, body: Any) -> None:
    problem = refused(cloud, json.dumps(body).encode(), 422, "invalid-order")

    assert problem["pointer"] == ""


@pytest.mark.parametrize("name", [None, 6, True, ["cook_nuggets"], {"name": "cook_nuggets"}, 1.5])
def test_a_task_that_is_not_a_string_is_422(cloud: Cloud, name: Any) -> None:
    assert refused(cloud, {"task": name, "input": {}}, 422, "invalid-order")["pointer"] == "/task"


def test_an_order_without_a_task_is_422(cloud: Cloud) -> None:
    assert refused(cloud, {"input": {}}, 422, "invalid-order")["pointer"] == "/task"


@pytest.mark.parametrize(
    "name", ["cook_nugget", "", "Cook_Nuggets", "__init__", "cook_nuggets ", "x" * 10_000, "😀"]
)
def test_an_unknown_task_is_422_with_the_known_ones(cloud: Cloud, name: str) -> None:
    problem = refused(cloud, {"task": name, "input": {}}, 422, "unknown-task")

    assert "cook_nuggets" in problem["known"]
    assert "cook_nuggets" in problem["detail"]
    assert problem["pointer"] == "/task"


@pytest.mark.parametrize(
    ("member", "pointer"),
    [("inputs", "/inputs"), ("client", "/client"), ("", "/"), ("a/b~c", "/a~1b~0c")],
)
def test_an_unknown_member_is_422_with_its_pointer(cloud: Cloud, member: str, pointer: str) -> None:
    problem = refused(cloud, {**ORDER, member: 1}, 422, "invalid-order")

    assert problem["pointer"] == pointer
    assert repr(member) in problem["detail"]


@pytest.mark.parametrize(
    ("value", "pointer", "message"),
    [
        ({}, "/input/pieces", "missing required field `pieces`"),
        ({"pieces": "6"}, "/input/pieces", "Expected `int`, got `str`"),
        ({"pieces": None}, "/input/pieces", "Expected `int`, got `null`"),
        ({"pieces": 6.5}, "/input/pieces", "Expected `int`, got `float`"),
        ({"pieces": True}, "/input/pieces", "Expected `int`, got `bool`"),
        ({"pieces": 0}, "/input/pieces", "Expected `int` >= 1"),
        ({"pieces": 121}, "/input/pieces", "Expected `int` <= 120"),
        ({"pieces": 10**4000}, "/input/pieces", "Expected `int` <= 120"),
        ({"pieces": 6, "sauce": "mustard"}, "/input/sauce", "Invalid enum value 'mustard'"),
        ({"pieces": 6, "salt": True}, "/input/salt", "unknown field `salt`"),
        ({"pieces": 6, "a/b": 1}, "/input/a~1b", "unknown field `a/b`"),
        ([6], "/input", "Expected `object`, got `array`"),
        (None, "/input", "Expected `object`, got `null`"),
        ("6", "/input", "Expected `object`, got `str`"),
    ],
)
def test_an_input_that_does_not_fit_is_422_with_a_pointer(
    cloud: Cloud, value: Any, pointer: str, message: str
) -> None:
    problem = refused(cloud, {"task": "cook_nuggets", "input": value}, 422, "invalid-input")

    assert problem["pointer"] == pointer
    assert message in problem["detail"]


def test_the_checks_have_a_fixed_order(cloud: Cloud) -> None:
    """Check token, size, type, JSON, shape, task, input in this order; report the first error."""
    strange = {"Content-Type": "text/plain"}

    refused(cloud, b"x" * 1_100_000, 401, "unauthorized", {"Authorization": "", **strange})
    refused(cloud, b"x" * 1_100_000, 413, "too-large", strange)
    refused(cloud, b"{", 415, "unsupported-media-type", strange)
    refused(cloud, b'{"task": "nope", "x": 1', 400, "invalid-json")
    refused(cloud, {"task": "nope", "x": 1}, 422, "invalid-order")
    refused(cloud, {"task": "nope", "input": 6}, 422, "unknown-task")
