"""Access tokens: who gets in, who does not, and that a token stands in no log."""

from __future__ import annotations

import pytest

from chalicelib import auth, config
from tests.functional.test_bad_input import problem_of
from tests.kit import Cloud, Reply

ROUTES = [
    ("POST", "/orders"),
    ("GET", "/orders"),
    ("GET", "/orders/" + "0" * 26),
    ("GET", "/tasks"),
]
ORDER = {"task": "cook_nuggets", "input": {"pieces": 6}}


def asking(cloud: Cloud, header: str, method: str = "POST", path: str = "/orders") -> Reply:
    return cloud.http(method, path, ORDER, {"Authorization": header})


def bare(cloud: Cloud, method: str, path: str, body: bytes = b"") -> Reply:
    """A request with no Authorization header at all."""
    answer = cloud.client.http.request(
        method, path, headers={"Content-Type": "application/json"}, body=body
    )
    return Reply(answer.status_code, dict(answer.headers), answer.body.decode())


def assert_invalid_token(reply: Reply) -> None:
    """The answer is the one that RFC 6750, section 3.1, asks for; it says nothing about which fault the token has."""
    assert (reply.status, problem_of(reply)["type"]) == (401, "/problems/invalid-token")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="orderline", error="invalid_token"'


@pytest.fixture
def closed(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """As deployed: ACCESS is token."""
    monkeypatch.setenv("ACCESS", "token")
    return cloud


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_without_a_token_every_route_is_401_and_says_how(
    closed: Cloud, method: str, path: str
) -> None:
    reply = bare(closed, method, path)

    assert (reply.status, problem_of(reply)["type"]) == (401, "/problems/unauthorized")
    assert reply.headers["WWW-Authenticate"] == 'Bearer realm="orderline"', (
        "RFC 6750: no error code without a token"
    )
    assert "Bearer ol_" in reply.json["detail"]


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "ol_{}", "Basic dXNlcjpwYXNz"])
def test_a_header_without_a_bearer_token_is_401_though_access_is_open(
    cloud: Cloud, header: str
) -> None:
    reply = asking(cloud, header.replace("{}", cloud.token[3:]))

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
    assert_invalid_token(asking(cloud, "Bearer " + token.replace("{}", cloud.token[3:])))
    assert cloud.rows() == []


def test_the_scheme_may_be_written_in_any_case(cloud: Cloud) -> None:
    assert asking(cloud, f"bearer  {cloud.token}").status == 202


def test_an_unknown_token_is_invalid(cloud: Cloud) -> None:
    assert_invalid_token(asking(cloud, "Bearer ol_00000000_" + "0" * 64))


def test_a_known_id_with_another_secret_gets_the_answer_of_an_unknown_one(cloud: Cloud) -> None:
    forged = asking(cloud, f"Bearer {cloud.token[:-1]}{'0' if cloud.token[-1] != '0' else '1'}")
    unknown = asking(cloud, "Bearer ol_00000000_" + "0" * 64)

    assert forged.status == 401
    assert forged.headers["WWW-Authenticate"] == unknown.headers["WWW-Authenticate"]
    assert forged.json | {"request_id": ""} == unknown.json | {"request_id": ""}


def test_a_token_serves_until_its_time_is_over(cloud: Cloud) -> None:
    header = f"Bearer {cloud.new_token('kit', not_after=1_800_000_000 + 100)}"

    cloud.clock.advance(99)
    assert asking(cloud, header).status == 202
    cloud.clock.advance(2)
    assert_invalid_token(asking(cloud, header))


def test_a_revoked_token_serves_no_longer_than_it_is_remembered(cloud: Cloud) -> None:
    header = f"Bearer {cloud.token}"
    assert asking(cloud, header).status == 202

    cloud.dynamodb.update_item(
        TableName=config.settings().tokens_table,
        Key={"pk": {"S": cloud.token[3:11]}},
        UpdateExpression="SET disabled = :yes",
        ExpressionAttributeValues={":yes": {"BOOL": True}},
    )

    cloud.clock.advance(59)
    assert asking(cloud, header).status == 202
    cloud.clock.advance(2)
    assert_invalid_token(asking(cloud, header))


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_token_opens_what_its_scopes_name(cloud: Cloud, method: str, path: str) -> None:
    needed, other = (auth.WRITE, auth.READ) if method == "POST" else (auth.READ, auth.WRITE)

    refused = asking(cloud, f"Bearer {cloud.new_token('kit', scopes=(other,))}", method, path)
    assert (refused.status, problem_of(refused)["type"]) == (403, "/problems/insufficient-scope")
    assert refused.headers["WWW-Authenticate"] == (
        f'Bearer realm="orderline", error="insufficient_scope", scope="{needed}"'
    )
    assert refused.json["scope"] == needed
    assert needed in refused.json["detail"]
    assert asking(
        cloud, f"Bearer {cloud.new_token('kit', scopes=(needed,))}", method, path
    ).status in (200, 202, 404)


def test_another_clients_order_answers_as_one_that_never_was(cloud: Cloud) -> None:
    order_id = cloud.place("cook_nuggets", {"pieces": 6})["id"]
    stranger = f"Bearer {cloud.new_token('other')}"

    foreign = asking(cloud, stranger, "GET", f"/orders/{order_id}")
    unknown = asking(cloud, stranger, "GET", "/orders/" + "0" * 26)

    assert foreign.status == unknown.status == 404
    assert foreign.json | {"request_id": ""} == unknown.json | {"request_id": ""}
    assert {**foreign.headers, "X-Request-Id": ""} == {**unknown.headers, "X-Request-Id": ""}


def test_no_client_name_reaches_into_anothers_keys(cloud: Cloud) -> None:
    for name in ("kit#0", "", "Kit", "a" * 41, "kit\n", "é"):
        with pytest.raises(ValueError, match="a name has"):
            cloud.new_token(name)


def test_with_access_open_who_brings_no_token_is_the_client_local(cloud: Cloud) -> None:
    reply = bare(cloud, "POST", "/orders", b'{"task": "cook_nuggets", "input": {"pieces": 6}}')

    assert reply.status == 202
    assert [row.owner for row in cloud.rows()] == ["local"]
    assert bare(cloud, "GET", f"/orders/{reply.json['id']}").status == 200
    assert cloud.http("GET", f"/orders/{reply.json['id']}").status == 404


def test_the_table_holds_no_secret(cloud: Cloud) -> None:
    (item,) = cloud.dynamodb.scan(TableName=config.settings().tokens_table)["Items"]

    assert cloud.token.rpartition("_")[2] not in str(item)


def test_guessed_ids_do_not_fill_the_memory(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_MAX_CACHED", 5)

    for guess in range(20):
        asking(cloud, f"Bearer ol_{guess:08x}_" + "0" * 64, "GET", "/tasks")

    assert len(auth._cache) <= 5


def test_no_token_stands_in_a_log(cloud: Cloud, capfd: pytest.CaptureFixture[str]) -> None:
    """Nor an input or a result: not where all goes well, nor where a fault that nobody expected is logged."""
    order = cloud.place("cook_nuggets", {"pieces": 6, "sauce": "curry"})
    cloud.drain()
    asking(cloud, f"Bearer {cloud.token[:-1]}x")
    cloud.garble(order["id"])

    broken = cloud.http("GET", f"/orders/{order['id']}")

    assert (broken.status, problem_of(broken)["type"]) == (500, "/problems/unreadable-order")
    assert "PAUSED" not in broken.body
    logged, errors = capfd.readouterr()
    assert "attempt_ended" in logged
    assert broken.json["request_id"] in logged
    assert "curry" not in logged
    assert cloud.token.rpartition("_")[2][:-1] not in logged + errors
