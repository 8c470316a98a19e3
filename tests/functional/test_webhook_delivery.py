"""One attempt of a delivery: what the receiver gets, and what its answer means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib import config
from chalicelib.clock import SECOND
from chalicelib.errors import DeliveryFailed, EndpointGone, TryLater, Unavailable
from chalicelib.webhooks import endpoints, sender, signing
from chalicelib.webhooks.delivery import deliver
from chalicelib.webhooks.endpoints import Endpoint, Registry, SigningSecret
from testkit import Cloud
from testkit.wire import Wire
from tests.kit.receiver import Receiver, receiving, shop, status

ID = "0" * 26
EVENT: dict[str, Any] = {
    "type": "order.succeeded",
    "timestamp": "2027-01-15T08:00:00.000000Z",
    "data": {"id": "1" * 26, "task": "größer", "status": "SUCCESS"},
}


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """Run the receiver of https://shop.example/hooks."""
    with shop(tmp_path) as receiver:
        yield receiver


@pytest.fixture
def endpoint(cloud: Cloud) -> Endpoint:
    """Register https://shop.example/hooks."""
    endpoint = Endpoint(
        "kit", "main", "https://shop.example/hooks", (SigningSecret(signing.new_secret()),)
    )
    Registry(cloud.dynamodb, config.settings().tokens_table).store(endpoint)
    return endpoint


@pytest.fixture
def attempt(cloud: Cloud, endpoint: Endpoint) -> Callable[[], None]:
    return lambda: deliver(endpoint, ID, EVENT, cloud.clock())


def test_the_receiver_gets_the_event_with_the_headers_of_the_standard(
    cloud: Cloud, receiver: Receiver, endpoint: Endpoint
) -> None:
    now = cloud.clock()
    deliver(endpoint, ID, EVENT, now)

    (request,) = receiver.requests
    assert json.loads(request.body) == EVENT
    headers = request.headers
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "Orderline"
    assert headers["webhook-id"] == ID
    assert headers["webhook-timestamp"] == str(now // SECOND)
    secret = endpoint.secrets[0].text
    assert headers["webhook-signature"] == signing.sign([secret], ID, now // SECOND, request.body)


def test_while_a_secret_is_rotated_both_sign(
    cloud: Cloud, receiver: Receiver, endpoint: Endpoint
) -> None:
    now = cloud.clock()
    rotated = Registry(cloud.dynamodb, config.settings().tokens_table).rotate(endpoint, now)
    deliver(rotated, ID, EVENT, now)
    deliver(rotated, ID, EVENT, now + 86_400 * SECOND)

    beside, after = (request.headers["webhook-signature"] for request in receiver.requests)
    assert (beside.count("v1,"), after.count("v1,")) == (2, 1)
    secrets = [secret.text for secret in rotated.secrets]
    body = receiver.requests[0].body
    assert beside == signing.sign(secrets, ID, now // SECOND, body)
    assert after == signing.sign(secrets[:1], ID, now // SECOND + 86_400, body)


@pytest.mark.parametrize("code", [200, 201, 204, 299])
def test_any_2xx_is_a_success(receiver: Receiver, attempt: Callable[[], None], code: int) -> None:
    receiver.answers = [status(code)]
    attempt()

    assert len(receiver.requests) == 1


@pytest.mark.parametrize("code", [301, 302, 307, 400, 404, 429, 500, 503])
def test_any_other_status_is_a_failure(
    receiver: Receiver, attempt: Callable[[], None], code: int
) -> None:
    receiver.answers = [status(code, "Location: https://shop.example/2", body=b"secret")]
    with pytest.raises(DeliveryFailed, match=f"answered {code}$") as failure:
        attempt()

    assert type(failure.value) is DeliveryFailed
    assert failure.value.code == "receiver_refused"
    assert len(receiver.requests) == 1


def test_a_receiver_that_fails_five_times_is_told_the_same_each_time(
    receiver: Receiver, attempt: Callable[[], None]
) -> None:
    receiver.answers = [*5 * [status(500)], status(204)]
    for _ in range(5):
        with pytest.raises(DeliveryFailed):
            attempt()
    attempt()

    assert [request.headers["webhook-id"] for request in receiver.requests] == 6 * [ID]
    assert len({request.body for request in receiver.requests}) == 1


@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_is_raised_as_the_pause(
    receiver: Receiver, attempt: Callable[[], None], code: int
) -> None:
    receiver.answers = [status(code, "Retry-After: 120")]
    with pytest.raises(TryLater) as error:
        attempt()

    assert error.value.seconds == 120


def test_retry_after_of_another_status_does_not_count(
    receiver: Receiver, attempt: Callable[[], None]
) -> None:
    receiver.answers = [status(500, "Retry-After: 120")]
    with pytest.raises(DeliveryFailed) as failure:
        attempt()

    assert not isinstance(failure.value, TryLater)


def test_410_disables_the_endpoint(
    receiver: Receiver, attempt: Callable[[], None], endpoint: Endpoint
) -> None:
    receiver.answers = [status(410)]
    with pytest.raises(EndpointGone):
        attempt()

    assert endpoints.find("kit", "main") == replace(endpoint, disabled=True)


def test_if_the_endpoint_can_not_be_disabled_another_attempt_will_do_it(
    receiver: Receiver, attempt: Callable[[], None], wire: Wire
) -> None:
    receiver.answers = [status(410)]
    wire.breaks("UpdateItem")
    with pytest.raises(Unavailable):
        attempt()
    with pytest.raises(EndpointGone):
        attempt()

    found = endpoints.find("kit", "main")
    assert found is not None
    assert found.disabled


def test_a_disabled_endpoint_gets_nothing(
    cloud: Cloud, receiver: Receiver, endpoint: Endpoint
) -> None:
    with pytest.raises(EndpointGone):
        deliver(replace(endpoint, disabled=True), ID, EVENT, cloud.clock())

    assert receiver.requests == []


@pytest.mark.parametrize("answer", ["drip", "say_nothing"])
def test_a_receiver_that_hangs_is_given_up(
    receiver: Receiver, attempt: Callable[[], None], monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(sender, "TIMEOUT_S", 0.5)
    receiver.answers = [getattr(receiver, answer)]
    with pytest.raises(DeliveryFailed) as failure:
        attempt()

    assert failure.value.code == "timeout"


def test_a_receiver_on_this_machine_is_reached_only_where_the_cloud_is_too(
    cloud: Cloud, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as receiver:
        local = replace(endpoint, url=receiver.url)
        with pytest.raises(DeliveryFailed) as failure:
            deliver(local, ID, EVENT, cloud.clock())
        assert failure.value.code == "not_allowed"
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
        deliver(local, ID, EVENT, cloud.clock())

        assert len(receiver.requests) == 1
