"""`python -m dev webhook`: endpoints are added, listed, rotated, removed and tested."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from orderline import verify

from chalicelib import config
from chalicelib.webhooks import endpoints
from chalicelib.webhooks.endpoints import Names, Registry
from dev import stack_state
from dev.__main__ import main
from testkit import Cloud
from tests.kit.receiver import Receiver, shop, status

URL = "https://shop.example/hooks"
SHOP = ("--owner", "shop")
A_LONG_TIME_S = 10**9


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Run the receiver of https://shop.example/hooks."""
    with shop(tmp_path) as receiver:
        yield receiver


def run(*words: str) -> Result:
    return CliRunner().invoke(
        main, ["webhook", *words, "--stack", config.settings().stack], catch_exceptions=False
    )


def output(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_an_added_endpoint_is_found_and_its_secret_is_shown_once(cloud: Cloud) -> None:
    secret = output("add", *SHOP, "--url", URL)
    output("add", *SHOP, "--url", f"{URL}/2", "--name", "audit", "--all")

    found = endpoints.find("shop", "main")
    assert found is not None
    assert (found.url, found.all, found.disabled) == (URL, False, False)
    assert [each.text for each in found.secrets] == [secret]
    assert endpoints.of_owner("shop") == Names(frozenset({"main", "audit"}), frozenset({"audit"}))
    lines = output("list").splitlines()
    assert [line.split()[:2] for line in lines] == [["shop", "audit"], ["shop", "main"]]
    assert "every order" in lines[0]
    assert "orders that ask" in lines[1]
    assert URL in lines[1]
    assert "whsec_" not in output("list")


def test_endpoints_and_tokens_are_listed_apart(cloud: Cloud) -> None:
    output("add", *SHOP, "--url", URL, "--all")
    tokens = CliRunner().invoke(main, ["token", "list", "--stack", config.settings().stack])

    assert tokens.exit_code == 0
    assert cloud.token[3:11] in tokens.stdout
    assert "shop" not in tokens.stdout
    assert cloud.token[3:11] not in output("list")


def test_an_endpoint_does_not_count_as_a_token_of_the_stack(cloud: Cloud) -> None:
    table = config.settings().tokens_table
    output("add", *SHOP, "--url", URL)
    assert stack_state._tokens(table) == 1
    cloud.dynamodb.delete_item(TableName=table, Key={"pk": {"S": cloud.token[3:11]}})

    assert stack_state._tokens(table) == 0


def test_an_endpoint_can_not_be_revoked_as_a_token(cloud: Cloud) -> None:
    output("add", *SHOP, "--url", URL)
    words = ["token", "revoke", "hook#shop#main", "--stack", config.settings().stack]
    result = CliRunner().invoke(main, words)

    assert result.exit_code == 1
    assert "no token has this id" in result.output
    assert "disabled" not in output("list")


def test_a_rotation_shows_the_new_secret_and_keeps_the_old_one_for_a_day(cloud: Cloud) -> None:
    old = output("add", *SHOP, "--url", URL)
    new = output("rotate", *SHOP)

    found = endpoints.find("shop", "main")
    assert found is not None
    assert found.valid_secrets(cloud.clock()) == [new, old]
    assert "two secrets" in output("list")
    cloud.clock.advance(86_400)
    assert found.valid_secrets(cloud.clock()) == [new]
    assert "two secrets" not in output("list")


def test_a_removed_endpoint_is_gone(cloud: Cloud) -> None:
    output("add", *SHOP, "--url", URL, "--all")
    output("remove", *SHOP)

    assert output("list") == ""
    assert endpoints.of_owner("shop") == Names()


def test_a_disabled_endpoint_is_listed_as_such(cloud: Cloud) -> None:
    output("add", *SHOP, "--url", URL)
    found = endpoints.find("shop", "main")
    assert found is not None
    endpoints.disable(found)

    assert "disabled: answered 410" in output("list")


def test_an_owner_has_at_most_ten_endpoints_for_all_orders(cloud: Cloud) -> None:
    for number in range(10):
        output("add", *SHOP, "--url", URL, "--name", f"n{number}", "--all")
    result = run("add", *SHOP, "--url", URL, "--all")

    assert result.exit_code == 1
    assert "shop has 10 endpoints with --all already" in result.output
    output("add", *SHOP, "--url", URL)
    output("add", "--owner", "bakery", "--url", URL, "--all")


@pytest.mark.parametrize(("text", "warned"), [("", True), ("webhooks:\n", False)])
def test_an_endpoint_of_a_stack_without_webhooks_is_registered_with_a_warning(
    cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, warned: bool
) -> None:
    (tmp_path / "orderline.yaml").write_text(text)
    monkeypatch.setenv("ORDERLINE_YAML", str(tmp_path / "orderline.yaml"))
    local = {
        "STACK": config.settings().stack,
        "AWS_ENDPOINT_URL": "https://dynamodb.us-east-1.amazonaws.com",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    exports = [f"export {name}='{value}'\n" for name, value in local.items()]
    (tmp_path / "env").write_text("".join(exports))
    monkeypatch.setenv("LOCAL", str(tmp_path))
    words = ["webhook", "add", *SHOP, "--url", URL]
    result = CliRunner().invoke(main, words, catch_exceptions=False)

    assert result.exit_code == 0, result.output
    assert ("Webhooks are off" in result.stderr) is warned


def test_a_test_sends_a_signed_event_and_prints_the_answer(
    cloud: Cloud, receiver: Receiver
) -> None:
    secret = output("add", *SHOP, "--url", URL)

    assert output("test", *SHOP) == "The receiver answered 204."
    (request,) = receiver.requests
    event = verify(request.body, request.headers, secret, tolerance_s=A_LONG_TIME_S)
    assert event["type"] == "webhook.test"
    assert event["data"] == {"endpoint": "main"}


def test_a_test_that_fails_exits_with_1(cloud: Cloud, receiver: Receiver) -> None:
    output("add", *SHOP, "--url", URL)
    receiver.answers = [status(500)]
    refused = run("test", *SHOP)
    receiver.answers = [b"no HTTP"]
    unreachable = run("test", *SHOP)

    assert (refused.exit_code, refused.output) == (1, "The receiver answered 500.\n")
    assert unreachable.exit_code == 1
    assert "the receiver can't be reached" in unreachable.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("add", *SHOP, "--url", "http://127.0.0.1:9000/"), "must begin with https://"),
        (("add", *SHOP, "--url", "https://10.0.0.1/"), "not an IP address"),
        (("add", "--owner", "No Such", "--url", URL), "owner 'No Such': a name has 1 to 40"),
        (("add", *SHOP, "--url", URL, "--name", "a#b"), "name 'a#b': a name has 1 to 40"),
        (("rotate", *SHOP), "shop has no endpoint 'main'; list them with"),
        (("remove", *SHOP, "--name", "x"), "shop has no endpoint 'x'"),
        (("test", *SHOP), "shop has no endpoint 'main'"),
    ],
)
def test_the_error_of_a_command_names_the_mistake(
    cloud: Cloud, words: tuple[str, ...], message: str
) -> None:
    result = run(*words)

    assert result.exit_code == 1
    assert message in result.output
    assert output("list") == ""


def test_an_endpoint_is_not_added_twice(cloud: Cloud) -> None:
    output("add", *SHOP, "--url", URL)
    result = run("add", *SHOP, "--url", f"{URL}/2", "--all")

    assert result.exit_code == 1
    assert "has an endpoint 'main' already; remove it first" in result.output
    found = Registry(cloud.dynamodb, config.settings().tokens_table).find("shop", "main")
    assert found is not None
    assert found.url == URL


def test_without_a_stack_the_command_has_a_hint(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL", "no-such-folder")
    invoke = CliRunner().invoke

    assert "make run" in invoke(main, ["webhook", "list"]).output
    words = ["webhook", "list", "--stage", "nowhere"]
    assert "is the stack deployed" in invoke(main, words).output
    words = ["webhook", "rotate", *SHOP, "--stage", "nowhere"]
    assert "is the stack deployed" in invoke(main, words).output


def test_an_event_is_json_of_one_line(cloud: Cloud, receiver: Receiver) -> None:
    output("add", *SHOP, "--url", URL)
    output("test", *SHOP)

    assert json.loads(receiver.requests[0].body)["timestamp"].endswith("Z")
    assert b"\n" not in receiver.requests[0].body
