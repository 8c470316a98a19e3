"""Webhook endpoints as rows of the tokens table."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib import config
from chalicelib.clock import SECOND
from chalicelib.errors import Unavailable
from chalicelib.webhooks import endpoints
from chalicelib.webhooks.endpoints import Endpoint, Names, Registry, SigningSecret
from chalicelib.webhooks.signing import new_secret
from testkit import Cloud
from testkit.wire import Wire

URL = "https://shop.example/hooks"


def an_endpoint(name: str = "main", **more: Any) -> Endpoint:
    return Endpoint("kit", name, URL, (SigningSecret(new_secret()),), **more)


@pytest.fixture
def registry(cloud: Cloud) -> Registry:
    return Registry(cloud.dynamodb, config.settings().tokens_table)


def test_a_stored_endpoint_is_found_as_it_was(registry: Registry) -> None:
    first = an_endpoint()
    second = replace(
        an_endpoint("audit-1", all=True, disabled=True),
        secrets=(SigningSecret(new_secret()), SigningSecret(new_secret(), 1_900_000_000)),
    )
    registry.store(first)
    registry.store(second)

    assert endpoints.find("kit", "main") == first
    assert endpoints.find("kit", "audit-1") == second
    assert endpoints.of_owner("kit") == Names(
        frozenset({"main", "audit-1"}), frozenset({"audit-1"})
    )


def test_an_unknown_endpoint_and_that_of_another_owner_are_not_found(registry: Registry) -> None:
    registry.store(an_endpoint())

    assert endpoints.find("kit", "other") is None
    assert endpoints.find("stranger", "main") is None
    assert endpoints.of_owner("stranger") == Names()


def test_an_endpoint_that_exists_is_not_replaced(cloud: Cloud, registry: Registry) -> None:
    endpoint = an_endpoint()
    registry.store(endpoint)

    with pytest.raises(cloud.dynamodb.exceptions.TransactionCanceledException):
        registry.store(an_endpoint(all=True))

    assert registry.find("kit", "main") == endpoint
    assert registry.of_owner("kit").all == frozenset()


def test_a_removed_endpoint_is_gone_and_its_name_is_free(registry: Registry) -> None:
    registry.store(an_endpoint(all=True))
    registry.store(an_endpoint("other", all=True))
    registry.remove(an_endpoint())

    assert registry.find("kit", "main") is None
    assert registry.of_owner("kit") == Names(frozenset({"other"}), frozenset({"other"}))
    registry.remove(an_endpoint("other"))
    registry.store(an_endpoint())
    assert registry.of_owner("kit") == Names(frozenset({"main"}), frozenset())


def test_an_endpoint_that_does_not_exist_is_not_removed(cloud: Cloud, registry: Registry) -> None:
    with pytest.raises(cloud.dynamodb.exceptions.TransactionCanceledException):
        registry.remove(an_endpoint())


def test_a_rotated_secret_signs_for_a_day_beside_the_new_one(
    cloud: Cloud, registry: Registry
) -> None:
    endpoint = an_endpoint()
    (old,) = (secret.text for secret in endpoint.secrets)
    registry.store(endpoint)
    now = cloud.clock()
    rotated = registry.rotate(endpoint, now)

    assert registry.find("kit", "main") == rotated
    new = rotated.secrets[0].text
    assert new != old
    assert rotated.valid_secrets(now) == [new, old]
    assert rotated.valid_secrets(now + 86_399 * SECOND) == [new, old]
    assert rotated.valid_secrets(now + 86_400 * SECOND) == [new]


def test_a_second_rotation_ends_the_oldest_secret_at_once(cloud: Cloud, registry: Registry) -> None:
    endpoint = an_endpoint()
    registry.store(endpoint)
    once = registry.rotate(endpoint, cloud.clock())
    twice = registry.rotate(once, cloud.clock())

    secrets = twice.valid_secrets(cloud.clock())
    assert len(secrets) == 2
    assert secrets[1] == once.secrets[0].text
    assert endpoint.secrets[0].text not in secrets


def test_of_two_rotations_at_once_one_is_refused(cloud: Cloud, registry: Registry) -> None:
    endpoint = an_endpoint()
    registry.store(endpoint)
    first = registry.rotate(endpoint, cloud.clock())

    with pytest.raises(cloud.dynamodb.exceptions.ConditionalCheckFailedException):
        registry.rotate(endpoint, cloud.clock())

    assert registry.find("kit", "main") == first


def test_a_disabled_endpoint_is_found_so_at_once(registry: Registry) -> None:
    registry.store(an_endpoint())
    found = endpoints.find("kit", "main")
    assert found is not None
    endpoints.disable(found)

    assert endpoints.find("kit", "main") == replace(found, disabled=True)


def test_an_endpoint_with_another_url_is_not_disabled(registry: Registry) -> None:
    registry.store(an_endpoint())
    endpoints.disable(replace(an_endpoint(), url="https://old.example/"))
    endpoints.disable(an_endpoint("removed"))

    found = registry.find("kit", "main")
    assert found is not None
    assert not found.disabled
    assert registry.find("kit", "removed") is None


def test_rows_are_read_again_after_a_minute(cloud: Cloud, registry: Registry, wire: Wire) -> None:
    for _ in range(2):
        assert endpoints.find("kit", "main") is None
        assert endpoints.of_owner("kit") == Names()
    with wire.unseen():
        registry.store(an_endpoint())
    assert endpoints.find("kit", "main") is None
    assert wire.calls == ["GetItem", "GetItem"]
    cloud.clock.advance(60)

    assert endpoints.find("kit", "main") is not None
    assert endpoints.of_owner("kit").every == {"main"}
    assert len(wire.calls) == 4


def test_the_cache_is_bounded(cloud: Cloud) -> None:
    for number in range(1100):
        endpoints.find("kit", f"n{number}")

    assert len(endpoints._cache) <= 1000


def test_a_failed_read_is_unavailable_and_not_remembered(cloud: Cloud, wire: Wire) -> None:
    wire.breaks("GetItem")
    with pytest.raises(Unavailable):
        endpoints.find("kit", "main")

    assert endpoints.find("kit", "main") is None


def test_no_secret_is_in_the_text_of_an_endpoint() -> None:
    endpoint = an_endpoint()

    assert endpoint.secrets[0].text not in repr(endpoint)
    assert "whsec_" not in str(endpoint)


def test_an_endpoint_is_no_access_token(cloud: Cloud, registry: Registry) -> None:
    registry.store(an_endpoint())
    for token in ("ol_hook#kit_" + "0" * 64, "hook#kit#main"):
        reply = cloud.http("GET", "/orders", headers={"Authorization": f"Bearer {token}"})
        assert reply.status == 401
