"""Create, list and revoke the access tokens of a stack, directly in its tokens table."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from chalicelib import auth, clock
from chalicelib.auth import Token
from dev import tokens_table

DAY_S = 86400
_UNKNOWN = "no token has this id; list them with: python -m dev token list"


@dataclass(frozen=True)
class Tokens:
    """Access tokens of one stack."""

    stack: str
    dynamodb: Any

    @classmethod
    def of_stack(cls, stack: str | None, stage: str | None) -> Tokens:
        """Return the tokens of a deployed stack, or without a name or stage of the local stack.

        Raises TableError if there is no such stack; see tokens_table.connect.
        """
        connection = tokens_table.connect(stack, stage)
        return cls(connection.stack, connection.dynamodb)

    def create(
        self, owner: str, scopes: tuple[str, ...], days: int | None = None
    ) -> tuple[str, Token]:
        """Create a token. Return its text, which is not stored, and its record.

        `days`: days until it expires; None: never. Raises ValueError for an invalid owner, and
        TableError if it could not be stored.
        """
        not_after = clock.now() // clock.SECOND + days * DAY_S if days else None
        text, token = auth.issue(owner, scopes, not_after)
        self._call("put_item", Item=auth.encode(token))
        return text, token

    def find(self, token_id: str) -> Token | None:
        """Return the record of a token; None if there is none."""
        response = self._call("get_item", Key={"pk": {"S": token_id}})
        return auth.decode(response["Item"]) if "Item" in response else None

    def all(self) -> list[Token]:
        """Return all tokens, sorted by owner. Scans the table, which has few rows per owner."""
        page = self._call("scan")
        items = page["Items"]
        while "LastEvaluatedKey" in page:
            page = self._call("scan", ExclusiveStartKey=page["LastEvaluatedKey"])
            items += page["Items"]
        tokens = [item for item in items if "sha256" in item]  # other rows are webhook endpoints
        return sorted(map(auth.decode, tokens), key=lambda token: (token.owner, token.id))

    def revoke(self, token_id: str) -> Token:
        """Revoke a token. Functions that have just read it may accept it for up to a minute.

        Raises TableError if there is no such token.
        """
        response = self._call(
            "update_item",
            Key={"pk": {"S": token_id}},
            UpdateExpression="SET disabled = :yes",
            ConditionExpression="attribute_exists(sha256)",
            ExpressionAttributeValues={":yes": {"BOOL": True}},
            ReturnValues="ALL_NEW",
        )
        return auth.decode(response["Attributes"])

    def _call(self, operation: str, **arguments: Any) -> Any:
        table = f"{self.stack}-tokens"
        with tokens_table.translated(table, _UNKNOWN):
            return getattr(self.dynamodb, operation)(TableName=table, **arguments)


def state(token: Token) -> str:
    """Return a token's state in a word or two, for a list."""
    if token.disabled:
        return "revoked"
    if token.not_after is None:
        return "valid"
    moment = datetime.fromtimestamp(token.not_after, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"expired {moment}" if token.expired() else f"until {moment}"
