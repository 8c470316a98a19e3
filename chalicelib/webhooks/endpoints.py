"""Webhook endpoints of owners: rows of the tokens table.

Each endpoint has the row `hook#<owner>#<name>`. The names of an owner's endpoints are in a row of
their own, `hooks#<owner>`, since the table has no index. Each process caches rows for a minute, so
a change may take that long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from chalicelib import clock, config
from chalicelib.aws.client import client, translated
from chalicelib.clock import SECOND, Micros
from chalicelib.errors import CallRefused
from chalicelib.webhooks import signing

if TYPE_CHECKING:
    from chalicelib.aws.calls import DynamoDB, Item, TransactItem

NAME = re.compile(r"[a-z0-9-]{1,40}")
"""Names of owners and of their endpoints; none has a #, which separates them in a key."""
PREFIX = "hook#"
"""Begins the key of every endpoint, and of no other row."""
ROTATION_S = 86_400
"""Seconds that a signing secret stays valid after its rotation."""
_CACHE_TTL: Micros = 60 * SECOND
_MAX_CACHED = 1000
T = TypeVar("T")


class SigningSecret(Struct, frozen=True):
    """A secret that signs the deliveries to an endpoint."""

    text: str
    """`whsec_` and 32 random bytes in base64."""
    until: int | None = None
    """When a rotated secret stops signing, in seconds since 1970; None: it is the current one."""

    def __repr__(self) -> str:
        return f"SigningSecret(until={self.until})"  # without the secret


class Endpoint(Struct, frozen=True):
    """A URL that an owner registered for webhooks."""

    owner: str
    """The owner whose orders it hears of."""
    name: str
    """Its name among the owner's endpoints; an order asks for it by this name."""
    url: str
    """Where to send; see targets.parse."""
    secrets: tuple[SigningSecret, ...]
    """The current signing secret first, then the one before; at most two."""
    all: bool = False
    """True: it hears of every order of its owner, also of those that do not ask for it."""
    disabled: bool = False
    """True once its receiver answered 410 Gone."""

    def valid_secrets(self, now: Micros) -> list[str]:
        """Return the secrets that sign a delivery now."""
        return [
            secret.text
            for secret in self.secrets
            if secret.until is None or now < secret.until * SECOND
        ]


class Names(Struct, frozen=True):
    """The names of an owner's endpoints."""

    every: frozenset[str] = frozenset()
    """All of them."""
    all: frozenset[str] = frozenset()
    """Those that hear of every order."""


class Registry:
    """The endpoints in a tokens table.

    The errors of a call are those of the client: of chalicelib.aws in the app, of boto3 in a
    command.
    """

    def __init__(self, dynamodb: DynamoDB, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def find(self, owner: str, name: str) -> Endpoint | None:
        """Return an endpoint, None if there is none."""
        response = self._dynamodb.get_item(TableName=self._table, Key=_key(owner, name))
        return decode(response["Item"]) if "Item" in response else None

    def of_owner(self, owner: str) -> Names:
        """Return the names of an owner's endpoints."""
        response = self._dynamodb.get_item(TableName=self._table, Key=_names_key(owner))
        item = response.get("Item", {})
        return Names(_decode_set(item, "names"), _decode_set(item, "all"))

    def store(self, endpoint: Endpoint) -> None:
        """Store a new endpoint; the call is refused if it exists."""
        self._dynamodb.transact_write_items(
            TransactItems=[
                {
                    "Put": {
                        "TableName": self._table,
                        "Item": encode(endpoint),
                        "ConditionExpression": "attribute_not_exists(pk)",
                    }
                },
                self._change_names(endpoint, "ADD", ("names", "all")[: 1 + endpoint.all]),
            ]
        )

    def remove(self, endpoint: Endpoint) -> None:
        """Remove an endpoint; the call is refused if there is none."""
        self._dynamodb.transact_write_items(
            TransactItems=[
                {
                    "Delete": {
                        "TableName": self._table,
                        "Key": _key(endpoint.owner, endpoint.name),
                        "ConditionExpression": "attribute_exists(pk)",
                    }
                },
                self._change_names(endpoint, "DELETE", ("names", "all")),
            ]
        )

    def rotate(self, endpoint: Endpoint, now: Micros) -> Endpoint:
        """Give an endpoint another secret; the one before stays valid for a day.

        The call is refused if the endpoint's secrets are not those that were read.
        """
        before = SigningSecret(endpoint.secrets[0].text, now // SECOND + ROTATION_S)
        rotated = replace(endpoint, secrets=(SigningSecret(signing.new_secret()), before))
        return self._update(
            rotated, "secrets", _encode_secrets(rotated), ("secrets", _encode_secrets(endpoint))
        )

    def disable(self, endpoint: Endpoint) -> Endpoint:
        """Disable an endpoint; the call is refused if its URL is another one meanwhile."""
        return self._update(endpoint, "disabled", {"BOOL": True}, ("url", {"S": endpoint.url}))

    def _update(
        self, endpoint: Endpoint, name: str, value: Any, expected: tuple[str, Any]
    ) -> Endpoint:
        """Set an attribute if another one has the expected value."""
        response = self._dynamodb.update_item(
            TableName=self._table,
            Key=_key(endpoint.owner, endpoint.name),
            UpdateExpression="SET #name = :value",
            ConditionExpression="#expected = :expected",
            ExpressionAttributeNames={"#name": name, "#expected": expected[0]},
            ExpressionAttributeValues={":value": value, ":expected": expected[1]},
            ReturnValues="ALL_NEW",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        return decode(response["Attributes"])

    def _change_names(
        self, endpoint: Endpoint, verb: str, attributes: tuple[str, ...]
    ) -> TransactItem:
        """Return the write that adds an endpoint's name to its owner's, or deletes it there."""
        clauses = ", ".join(f"#{attribute} :name" for attribute in attributes)
        return {
            "Update": {
                "TableName": self._table,
                "Key": _names_key(endpoint.owner),
                "UpdateExpression": f"{verb} {clauses}",
                "ExpressionAttributeNames": {f"#{each}": each for each in attributes},
                "ExpressionAttributeValues": {":name": {"SS": [endpoint.name]}},
            }
        }


# (where the row is, what was asked for) -> (time to read it again, the answer)
_cache: dict[tuple[object, ...], tuple[Micros, Any]] = {}


def find(owner: str, name: str, fresh: bool = False) -> Endpoint | None:
    """Return an endpoint, None if there is none; as it was a minute ago at most, or is now."""
    return _cached(("endpoint", owner, name), lambda registry: registry.find(owner, name), fresh)


def find_enabled(owner: str, name: str) -> Endpoint | None:
    """Return an endpoint as `find`, but one that is gone or disabled as it is now.

    It may have been registered again a moment ago, and a delivery that fails here is not repeated.
    """
    endpoint = find(owner, name)
    if endpoint is None or endpoint.disabled:
        endpoint = find(owner, name, fresh=True)
    return endpoint


def of_owner(owner: str, fresh: bool = False) -> Names:
    """Return the names of an owner's endpoints, as they were a minute ago at most, or are now."""
    return _cached(("names", owner), lambda registry: registry.of_owner(owner), fresh)


def disable(endpoint: Endpoint) -> None:
    """Disable an endpoint, unless it was removed or registered again with another URL."""
    forget()
    try:
        with translated():
            _registry().disable(endpoint)
    except CallRefused:
        return


def forget() -> None:
    """Empty the cache, as in a new process."""
    _cache.clear()


def encode(endpoint: Endpoint) -> Item:
    """Return the endpoint as a DynamoDB item."""
    return {
        **_key(endpoint.owner, endpoint.name),
        "url": {"S": endpoint.url},
        "secrets": _encode_secrets(endpoint),
        "all": {"BOOL": endpoint.all},
        "disabled": {"BOOL": endpoint.disabled},
    }


def decode(item: Item) -> Endpoint:
    """Return the endpoint of a DynamoDB item."""
    _, owner, name = item["pk"]["S"].split("#")
    secrets = tuple(
        SigningSecret(
            secret["M"]["secret"]["S"],
            int(secret["M"]["until"]["N"]) if "until" in secret["M"] else None,
        )
        for secret in item["secrets"]["L"]
    )
    return Endpoint(
        owner, name, item["url"]["S"], secrets, item["all"]["BOOL"], item["disabled"]["BOOL"]
    )


def _cached(question: tuple[str, ...], read: Callable[[Registry], T], fresh: bool) -> T:
    now = clock.now()
    key = (config.aws(), config.settings().tokens_table, *question)
    entry = _cache.get(key)
    if fresh or entry is None or entry[0] <= now:
        if len(_cache) >= _MAX_CACHED:
            _cache.clear()
        with translated():
            entry = (now + _CACHE_TTL, read(_registry()))
        _cache[key] = entry
    answer: T = entry[1]
    return answer


def _registry() -> Registry:
    return Registry(client("dynamodb"), config.settings().tokens_table)


def _key(owner: str, name: str) -> Item:
    return {"pk": {"S": f"{PREFIX}{owner}#{name}"}}


def _names_key(owner: str) -> Item:
    return {"pk": {"S": f"hooks#{owner}"}}


def _encode_secrets(endpoint: Endpoint) -> Any:
    secrets = []
    for secret in endpoint.secrets:
        members = {"secret": {"S": secret.text}}
        if secret.until is not None:
            members["until"] = {"N": str(secret.until)}
        secrets.append({"M": members})
    return {"L": secrets}


def _decode_set(item: Item, name: str) -> frozenset[str]:
    return frozenset(item[name]["SS"]) if name in item else frozenset()
