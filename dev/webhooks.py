"""Register, list, rotate, remove and test the webhook endpoints of a stack, in its tokens table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from chalicelib import clock, ids
from chalicelib.web.times import time_text
from chalicelib.webhooks import delivery, endpoints, sender, signing, targets
from chalicelib.webhooks.endpoints import Endpoint, Registry, SigningSecret
from dev import tokens_table
from dev.tokens_table import Connection, TableError

MAX_FOR_ALL = 10
"""Endpoints of one owner that hear of every order: each order then has so many deliveries."""
_LIST = "list them with: python -m dev webhook list"


@dataclass(frozen=True)
class Webhooks:
    """Webhook endpoints of one stack."""

    connection: Connection

    @property
    def _table(self) -> str:
        return f"{self.connection.stack}-tokens"

    @property
    def _registry(self) -> Registry:
        return Registry(self.connection.dynamodb, self._table)

    def add(self, owner: str, url: str, name: str, all: bool) -> Endpoint:
        """Register an endpoint with a new signing secret, and return it.

        Raises ValueError for an invalid name or URL, and TableError if it exists already or the
        owner has MAX_FOR_ALL endpoints that hear of every order.

        Args:
            owner: the owner whose orders it hears of
            url: where to send
            name: its name among the owner's endpoints
            all: it hears of every order, also of those that do not ask for it
        """
        for value, meaning in ((owner, "owner"), (name, "name")):
            if not endpoints.NAME.fullmatch(value):
                raise ValueError(f"{meaning} {value!r}: a name has 1 to 40 of a-z, 0-9 and -")
        targets.parse(url, allow_local=self.connection.is_local)
        endpoint = Endpoint(owner, name, url, (SigningSecret(signing.new_secret()),), all)
        if all:
            self._require_room(owner)
        with self._calls(f"{owner} has an endpoint {name!r} already; remove it first"):
            self._registry.store(endpoint)
        return endpoint

    def _require_room(self, owner: str) -> None:
        with self._calls(""):
            names = self._registry.of_owner(owner).all
        if len(names) >= MAX_FOR_ALL:
            raise TableError(
                f"{owner} has {len(names)} endpoints with --all already, and each order has a"
                " delivery for each; let one receiver pass the events on, or remove one:"
                f" {', '.join(sorted(names))}"
            )

    def all(self) -> list[Endpoint]:
        """Return all endpoints, sorted by owner and name. Scans the table."""
        items = []
        with self._calls(""):
            pages = self.connection.dynamodb.get_paginator("scan").paginate(
                TableName=self._table,
                FilterExpression="begins_with(pk, :prefix)",
                ExpressionAttributeValues={":prefix": {"S": endpoints.PREFIX}},
            )
            for page in pages:
                items += page["Items"]
        return sorted(
            map(endpoints.decode, items), key=lambda endpoint: (endpoint.owner, endpoint.name)
        )

    def rotate(self, owner: str, name: str) -> Endpoint:
        """Give an endpoint a new signing secret beside the one before. Raises TableError."""
        endpoint = self.find(owner, name)
        with self._calls("the endpoint was changed at the same time; try again"):
            return self._registry.rotate(endpoint, clock.now())

    def remove(self, owner: str, name: str) -> Endpoint:
        """Remove an endpoint. Raises TableError if there is none."""
        endpoint = self.find(owner, name)
        with self._calls("the endpoint was removed at the same time"):
            self._registry.remove(endpoint)
        return endpoint

    def test(self, owner: str, name: str) -> int:
        """Send an event from this machine; return the status of the answer.

        Raises TableError if there is no such endpoint, and DeliveryFailed without an answer.
        """
        endpoint = self.find(owner, name)
        now = clock.now()
        event = {"type": "webhook.test", "timestamp": time_text(now), "data": {"endpoint": name}}
        headers, body = delivery.message(endpoint, ids.new_id(), event, now)
        is_local = self.connection.is_local
        return sender.send(endpoint.url, headers, body, allow_local=is_local).status

    def find(self, owner: str, name: str) -> Endpoint:
        """Return an endpoint. Raises TableError if there is none."""
        with self._calls(""):
            endpoint = self._registry.find(owner, name)
        if endpoint is None:
            raise TableError(f"{owner} has no endpoint {name!r}; {_LIST}")
        return endpoint

    @contextmanager
    def _calls(self, refusal: str) -> Iterator[None]:
        with tokens_table.translated(self._table, refusal):
            yield


def state(endpoint: Endpoint) -> str:
    """Return an endpoint's state in a few words, for a list."""
    if endpoint.disabled:
        return "disabled: answered 410"
    words = "every order" if endpoint.all else "orders that ask"
    rotated = len(endpoint.valid_secrets(clock.now())) > 1
    return f"{words}, two secrets" if rotated else words
