"""Create, list and revoke the access tokens of a stack, directly in its tokens table."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import auth, clock
from chalicelib.auth import Token
from dev import aws
from dev.packaging.package import ROOT

DAY_S = 86400
_LOCAL_STACK = "orderline-dev"


class TokenError(Exception):
    """The operation failed; the message gives the reason and a fix."""


@dataclass(frozen=True)
class Tokens:
    """Access tokens of one stack."""

    stack: str
    dynamodb: Any

    @classmethod
    def of_stack(cls, stack: str | None, stage: str | None) -> Tokens:
        """Return the tokens of a deployed stack, or without a name or stage of the local stack.

        A deployed stack is in the account that AWS's variables or profile select. Raises TokenError
        if there is no local stack, or if AWS's settings name no region.
        """
        if stack or stage:
            return cls(stack or f"orderline-{stage}", _client_of_deployed())
        path = ROOT / os.environ.get("LOCAL", ".local") / "env"
        if not path.exists():
            raise TokenError(
                "there is no local stack: start it with `make run`, or select a deployed one with"
                " --stage or --stack"
            )
        local = _exported(path)
        return cls(
            local.get("STACK", _LOCAL_STACK),
            aws.client(
                "dynamodb",
                endpoint_url=local["AWS_ENDPOINT_URL"],
                region_name=local["AWS_REGION"],
                aws_access_key_id=local["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=local["AWS_SECRET_ACCESS_KEY"],
            ),
        )

    def create(
        self, owner: str, scopes: tuple[str, ...], days: int | None = None
    ) -> tuple[str, Token]:
        """Create a token. Return its text, which is not stored, and its record.

        `days`: days until it expires; None: never. Raises ValueError for an invalid owner, and
        TokenError if it could not be stored.
        """
        not_after = clock.now() // clock.SECOND + days * DAY_S if days else None
        text, token = auth.issue(owner, scopes, not_after)
        self._call("put_item", Item=auth.encode(token))
        return text, token

    def known(self, token_id: str) -> bool:
        return "Item" in self._call("get_item", Key={"pk": {"S": token_id}})

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

        Raises TokenError if there is no such token.
        """
        response = self._call(
            "update_item",
            Key={"pk": {"S": token_id}},
            UpdateExpression="SET disabled = :yes",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":yes": {"BOOL": True}},
            ReturnValues="ALL_NEW",
        )
        return auth.decode(response["Attributes"])

    def _call(self, operation: str, **arguments: Any) -> Any:
        table = f"{self.stack}-tokens"
        try:
            return getattr(self.dynamodb, operation)(TableName=table, **arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise TokenError(_MESSAGES.get(code, str(error)).format(table=table)) from error
        except BotoCoreError as error:
            raise TokenError(
                f"AWS can't be reached: {error}; locally: is `make run` running?"
            ) from error


def _client_of_deployed() -> Any:
    """Create a client for a deployed stack. Raises TokenError without a region or valid profile."""
    try:
        return aws.client("dynamodb")
    except BotoCoreError as error:  # no region, or an unknown profile
        raise TokenError(f"{error} Set AWS_REGION=eu-central-1, or AWS_PROFILE=...") from error


def state(token: Token) -> str:
    """Return a token's state in a word or two, for a list."""
    if token.disabled:
        return "revoked"
    if token.not_after is None:
        return "valid"
    moment = datetime.fromtimestamp(token.not_after, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"expired {moment}" if token.expired() else f"until {moment}"


_MESSAGES = {
    "ConditionalCheckFailedException": "no token has this id; list them with:"
    " python -m dev token list",
    "ResourceNotFoundException": "there is no table {table}: is the stack deployed, and are these"
    " its account and region?",
}


def _exported(path: Path) -> dict[str, str]:
    """Return the variables in .local/env, whose lines are `export NAME='value'`."""
    pairs = (line.removeprefix("export ").partition("=") for line in path.read_text().splitlines())
    return {name: value.strip("'") for name, _, value in pairs}
