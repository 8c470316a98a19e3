"""Access tokens: every route with every kind of invalid token, and the commands for tokens."""

from __future__ import annotations

import hmac
import io
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from unittest.mock import patch

import pytest
from click.testing import CliRunner, Result

import app as orderline
from chalicelib import auth, clock, config
from dev.__main__ import main
from testkit import Cloud, Reply

PAGES = {"/board", "/board/{file}", "/operator", "/operator/{file}"}
PUBLIC = {"/health", "/openapi.json", "/docs", *PAGES}
GUARDED = sorted(
    (method, path)
    for path, methods in orderline.app.routes.items()
    if path not in PUBLIC
    for method in methods
    if method != "OPTIONS"
)
FOR_OWNERS = [(method, path) for method, path in GUARDED if not path.startswith("/operator/")]
READING = [(method, path) for method, path in GUARDED if method == "GET"]
UNKNOWN_ID = "0" * 26
DAY_S = 86400


def _token(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _send(
    cloud: Cloud, method: str, path: str, headers: dict[str, str], order_id: str = UNKNOWN_ID
) -> Reply:
    body = (
        {"task": "cook_nuggets", "input": {"pieces": 1}}
        if (method, path) == ("POST", "/orders")
        else None
    )
    return cloud.http(method, path.replace("{order_id}", order_id), body, headers)


def _without(cloud: Cloud) -> dict[str, str]:
    return {"Authorization": ""}


def _garbage(cloud: Cloud) -> dict[str, str]:
    return _token("garbage")


def _non_ascii(cloud: Cloud) -> dict[str, str]:
    return _token("ol_" + "\N{ARABIC-INDIC DIGIT ONE}" * 8 + "_" + "ä" * 64)


def _other_scheme(cloud: Cloud) -> dict[str, str]:
    return {"Authorization": f"Basic {cloud.token}"}


def _wrong_secret(cloud: Cloud) -> dict[str, str]:
    return _token(cloud.token[:-1] + ("0" if cloud.token[-1] != "0" else "1"))


def _unknown(cloud: Cloud) -> dict[str, str]:
    return _token("ol_00000000_" + "0" * 64)


def _revoked(cloud: Cloud) -> dict[str, str]:
    token = cloud.new_token("kit")
    _cli("token", "revoke", token[3:11], "--stack", config.settings().stack)
    return _token(token)


def _expired(cloud: Cloud) -> dict[str, str]:
    token = cloud.new_token("kit", not_after=cloud.clock() // clock.SECOND + DAY_S)
    cloud.clock.advance(DAY_S + 1)
    return _token(token)


@pytest.mark.parametrize(
    ("stranger", "problem"),
    [
        (_without, "unauthorized"),
        (_other_scheme, "unauthorized"),
        (_garbage, "invalid-token"),
        (_non_ascii, "invalid-token"),
        (_wrong_secret, "invalid-token"),
        (_unknown, "invalid-token"),
        (_revoked, "invalid-token"),
        (_expired, "invalid-token"),
    ],
)
def test_every_route_refuses_every_kind_of_invalid_token(
    cloud: Cloud,
    stranger: Callable[[Cloud], dict[str, str]],
    problem: str,
) -> None:
    headers = stranger(cloud)
    for method, path in GUARDED:
        reply = _send(cloud, method, path, headers)

        assert (reply.status, reply.json["type"]) == (401, f"/problems/{problem}"), (method, path)
        assert ('error="invalid_token"' in reply.headers["WWW-Authenticate"]) == (
            problem == "invalid-token"
        )
    assert cloud.rows() == []


def test_a_token_without_the_scope_is_refused(cloud: Cloud) -> None:
    tokens = {scope: cloud.new_token("kit", scopes=(scope,)) for scope in auth.SCOPES}
    for method, path in GUARDED:
        lacking = auth.WRITE if (method, path) in READING else auth.READ
        if (method, path) in FOR_OWNERS:
            assert _send(cloud, method, path, _token(tokens[auth.ADMIN])).status == 403

        reply = _send(cloud, method, path, _token(tokens[lacking]))

        assert (reply.status, reply.json["type"]) == (403, "/problems/insufficient-scope"), (
            method,
            path,
        )


def test_another_owners_order_is_answered_like_an_unknown_one(cloud: Cloud) -> None:
    order_id = cloud.place("cook_nuggets", {"pieces": 1})["id"]
    stranger = _token(cloud.new_token("stranger"))
    for method, path in (route for route in FOR_OWNERS if "{order_id}" in route[1]):
        foreign, unknown = (
            _send(cloud, method, path, stranger, id) for id in (order_id, UNKNOWN_ID)
        )

        assert foreign.status == unknown.status == 404
        assert {**foreign.json, "request_id": ""} == {**unknown.json, "request_id": ""}
        assert foreign.headers.keys() == unknown.headers.keys()
    assert cloud.order(order_id).version == 1


def test_a_list_has_the_owners_own_orders_only(cloud: Cloud) -> None:
    cloud.place("cook_nuggets", {"pieces": 1})

    stranger = _token(cloud.new_token("stranger"))
    assert cloud.http("GET", "/orders", headers=stranger).json["items"] == []
    assert len(cloud.http("GET", "/orders").json["items"]) == 1


def test_secrets_are_compared_in_constant_time(cloud: Cloud) -> None:
    with patch("hmac.compare_digest", wraps=hmac.compare_digest) as compared:
        cloud.http("GET", "/orders")
        cloud.http("GET", "/orders", headers=_wrong_secret(cloud))
        cloud.http("GET", "/orders", headers=_unknown(cloud))

    assert compared.call_count == 3, "an unknown id must take as long as a wrong secret"


def test_no_log_contains_a_token_at_debug_level(cloud: Cloud) -> None:
    order_id = cloud.place("cook_nuggets", {"pieces": 1})["id"]
    cloud.garble(order_id)
    with _every_log() as lines, redirect_stdout(lines):
        assert (
            _send(cloud, "GET", "/orders/{order_id}", _token(cloud.token), order_id).status == 500
        )
        _send(cloud, "GET", "/orders", _wrong_secret(cloud))

    logged = lines.getvalue()
    assert "unreadable-order" in logged, "it must have seen the failure"
    assert cloud.token[12:60] not in logged


@contextmanager
def _every_log() -> Iterator[io.StringIO]:
    """Collect what all loggers write at level DEBUG, Chalice's included."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    loggers = [logging.getLogger(), logging.getLogger("orderline")]
    with ExitStack() as stack:
        for logger in loggers:
            logger.addHandler(handler)
            stack.callback(logger.removeHandler, handler)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.DEBUG)
        yield lines


def test_a_revoked_token_is_refused_within_a_minute(cloud: Cloud) -> None:
    token = cloud.new_token("kit")
    assert cloud.http("GET", "/orders", headers=_token(token)).status == 200

    _cli("token", "revoke", token[3:11], "--stack", config.settings().stack)
    cloud.clock.advance(61)

    assert cloud.http("GET", "/orders", headers=_token(token)).status == 401


def test_a_created_token_works_and_its_secret_is_shown_once(cloud: Cloud) -> None:
    result = _cli(
        "token",
        "create",
        "acme",
        "--scope",
        "orders:read",
        "--days",
        "1",
        "--stack",
        config.settings().stack,
    )
    token = result.stdout.strip()
    output = _cli("token", "list", "--stack", config.settings().stack).stdout

    assert cloud.http("GET", "/orders", headers=_token(token)).status == 200
    assert cloud.http("POST", "/orders", {"task": "cook_nuggets"}, _token(token)).status == 403
    assert token[3:11] in output
    assert "acme" in output
    assert token[12:] not in output
    assert token[12:] not in str(
        cloud.dynamodb.scan(TableName=config.settings().tokens_table)["Items"]
    )


def test_only_an_operator_s_token_has_the_scope_of_all_owners(cloud: Cloud) -> None:
    create = ("token", "create", "ops", "--stack", config.settings().stack)
    plain = _cli(*create).stdout.strip()
    admin = _cli(*create, "--admin").stdout.strip()

    assert cloud.http("GET", "/operator/failures", headers=_token(plain)).status == 403
    assert cloud.http("GET", "/operator/failures", headers=_token(admin)).status == 200
    assert cloud.http("GET", "/orders", headers=_token(admin)).status == 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "No Such Name"), "a name has 1 to 40"),
        (("revoke", "00000000"), "no token has this id"),
    ],
)
def test_the_error_of_a_command_names_the_mistake(
    cloud: Cloud, words: tuple[str, ...], message: str
) -> None:
    result = CliRunner().invoke(main, ["token", *words, "--stack", config.settings().stack])

    assert result.exit_code == 1
    assert message in result.output


def test_without_a_stack_the_command_has_a_hint(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL", "no-such-folder")

    assert "make run" in CliRunner().invoke(main, ["token", "list"]).output
    assert (
        "is the stack deployed"
        in CliRunner().invoke(main, ["token", "list", "--stage", "nowhere"]).output
    )


def _cli(*words: str) -> Result:
    result = CliRunner().invoke(main, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result
