"""Access tokens: which are accepted, which are refused, and that no log contains one."""

from __future__ import annotations

import pytest

from chalicelib import auth, config
from testkit import Cloud, Reply
from tests.functional.test_bad_input import problem_of

ROUTES = [
    ("POST", "/orders"),
    ("GET", "/orders"),
    ("GET", "/orders/" + "0" * 26),
    ("GET", "/tasks"),
]
ORDER = {"task": "cook_nuggets", "input": {"pieces": 6}}


def request(cloud: Cloud, header: str, method: str = "POST", path: str = "/orders") -> Reply:
    return cloud.http(method, path, ORDER, {"Authorization": header})


def request_without_token(cloud: Cloud, method: str, path: str, body: bytes = b"") -> Reply:
    """Send a request without an Authorization header."""
    answer = cloud.client.http.request(
        method, path, headers={"Content-Type": "application/json"}, body=body
    )
    return Reply(answer.status_code, dict(answer.headers), answer.body.decode())


def assert_invalid_token(reply: Reply) -> None:
    """Assert the answer of RFC 6750, section 3.1; it does not say what is wrong with the token."""
    assert (reply.status, problem_of(reply)["type"]) == (401, "/problems/invalid-token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="orderline", error="invalid_token"'


@pytest.fixture
def closed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """Return a cloud with ACCESS=token, as it is deployed."""
    monkeypatch.setenv("ACCESS", "token")
    return cloud


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_token_every_route_is_401_with_a_hint(
    closed: Cloud, method: str, path: str
) -> None:
    reply = request_without_token(closed, method, path)

    assert (reply.status, problem_of(reply)["type"]) == (401, "/problems/unauthorized")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="orderline"', (
        "RFC 6750: no error code without a token"
    )
    assert "Bearer ol_" in reply.json["detail"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "ol_{}", "Basic dXNlcjpwYXNz"])
def test_a_header_without_a_bearer_token_is_401_though_access_is_open(
    cloud: Cloud, header: str
) -> None:
    reply = request(cloud, header.replace("{}", cloud.token[3:]))

    assert (reply.status, problem_of(reply)["type"]) == (401, "/problems/unauthorized")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="orderline"'
    assert cloud.rows() == []


@pytest.mark.parametrize(
    "token",
    [
        "ol_123_abc",
        "ol_{} x",
        "x" * 5000,
        "ol_0000000G_" + "0" * 64,
        "ol_00000000_" + "A" * 64,
        "öl_größe",
        "\U0001f600",
        "ol_\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff10_" + "0" * 64,
    ],
)
def test_a_malformed_token_is_an_invalid_one_though_access_is_open(
    cloud: Cloud, token: str
) -> None:
    assert_invalid_token(request(cloud, "Bearer " + token.replace("{}", cloud.token[3:])))
    assert cloud.rows() == []


def test_the_scheme_may_be_written_in_any_case(cloud: Cloud) -> None:
    assert request(cloud, f"bearer  {cloud.token}").status == 202


def test_an_unknown_token_is_invalid(cloud: Cloud) -> None:
    assert_invalid_token(request(cloud, "Bearer ol_00000000_" + "0" * 64))


def test_a_known_id_with_another_secret_gets_the_answer_of_an_unknown_one(cloud: Cloud) -> None:
    forged = request(cloud, f"Bearer {cloud.token[:-1]}{'0' if cloud.token[-1] != '0' else '1'}")
    unknown = request(cloud, "Bearer ol_00000000_" + "0" * 64)

    assert forged.status == 401
    assert forged.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"]
    assert forged.json | {"request_id": ""} == unknown.json | {"request_id": ""}


def test_a_token_is_accepted_until_it_expires(cloud: Cloud) -> None:
    header = f"Bearer {cloud.new_token('kit', not_after=1_800_000_000 + 100)}"

    cloud.clock.advance(99)
    assert request(cloud, header).status == 202
    cloud.clock.advance(2)
    assert_invalid_token(request(cloud, header))


def test_a_revoked_token_is_refused_within_a_minute(cloud: Cloud) -> None:
    header = f"Bearer {cloud.token}"
    assert request(cloud, header).status == 202

    cloud.dynamodb.update_item(
        TableName=config.settings().tokens_table,
        Key={"pk": {"S": cloud.token[3:11]}},
        UpdateExpression="SET disabled = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )

    cloud.clock.advance(59)
    assert request(cloud, header).status == 202
    cloud.clock.advance(2)
    assert_invalid_token(request(cloud, header))


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_token_allows_what_its_scopes_name(cloud: Cloud, method: str, path: str) -> None:
    needed = auth.WRITE if method == "POST" else auth.READ
    other = auth.READ if method == "POST" else auth.WRITE

    refused = request(cloud, f"Bearer {cloud.new_token('kit', scopes=(other,))}", method, path)
    assert (refused.status, problem_of(refused)["type"]) == (403, "/problems/insufficient-scope")
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer realm="orderline", error="insufficient_scope", scope="{needed}"'
    )
    assert refused.json["scope"] == needed
    assert needed in refused.json["detail"]
    assert request(
        cloud, f"Bearer {cloud.new_token('kit', scopes=(needed,))}", method, path
    ).status in (200, 202, 404)


def test_another_owners_order_is_answered_like_an_unknown_one(cloud: Cloud) -> None:
    order_id = cloud.place("cook_nuggets", {"pieces": 6})["id"]
    stranger = f"Bearer {cloud.new_token('other')}"

    foreign = request(cloud, stranger, "GET", f"/orders/{order_id}")
    unknown = request(cloud, stranger, "GET", "/orders/" + "0" * 26)

    assert foreign.status == unknown.status == 404
    assert foreign.json | {"request_id": ""} == unknown.json | {"request_id": ""}
    assert {**foreign.headers, "X-Request-Id": ""} == {**unknown.headers, "X-Request-Id": ""}


def test_an_owners_name_cannot_reach_another_owners_keys(cloud: Cloud) -> None:
    for name in ("kit#0", "", "Kit", "a" * 41, "kit\n", "é"):
        with pytest.raises(ValueError, match="a name has"):
            cloud.new_token(name)


def test_with_open_access_a_request_without_a_token_belongs_to_the_owner_local(
    cloud: Cloud,
) -> None:
    reply = request_without_token(
        cloud, "POST", "/orders", b'{"task": "cook_nuggets", "input": {"pieces": 6}}'
    )

    assert reply.status == 202
    assert [row.owner for row in cloud.rows()] == ["local"]
    assert request_without_token(cloud, "GET", f"/orders/{reply.json['id']}").status == 200
    assert cloud.http("GET", f"/orders/{reply.json['id']}").status == 404


def test_the_table_contains_no_secret(cloud: Cloud) -> None:
    (item,) = cloud.dynamodb.scan(TableName=config.settings().tokens_table)["Items"]

    assert cloud.token.rpartition("_")[2] not in str(item)


def test_guessed_ids_do_not_fill_the_memory(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_MAX_CACHED", 5)

    for guess in range(20):
        request(cloud, f"Bearer ol_{guess:08x}_" + "0" * 64, "GET", "/tasks")

    assert len(auth._cache) <= 5


def test_no_log_contains_a_token(cloud: Cloud, capfd: pytest.CaptureFixture[str]) -> None:
    """Log no input or result either, neither for a success nor for an unexpected error."""
    order = cloud.place("cook_nuggets", {"pieces": 6, "sauce": "curry"})
    cloud.drain()
    request(cloud, f"Bearer {cloud.token[:-1]}x")
    cloud.garble(order["id"])

    broken = cloud.http("GET", f"/orders/{order['id']}")

    assert (broken.status, problem_of(broken)["type"]) == (500, "/problems/unreadable-order")
    assert "PAUSED" not in broken.body
    logged, errors = capfd.readouterr()
    assert "order_ended" in logged
    assert broken.json["request_id"] in logged
    assert "curry" not in logged
    assert cloud.token.rpartition("_")[2][:-1] not in logged + errors
