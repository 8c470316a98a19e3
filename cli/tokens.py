"""Access tokens of a stack: made, listed and revoked in its tokens table, by whoever may write there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib import auth, orders
from chalicelib.auth import Token
from cli import aws
from cli.package import ROOT

DAY_S = 86400
_LOCAL_STACK = "orderline-dev"


class TokenError(Exception):
    """It could not be done; the message says why and what mends it."""


@dataclass(frozen=True)
class Tokens:
    """The tokens of one stack."""

    stack: str
    dynamodb: Any

    @classmethod
    def of_stack(cls, stack: str | None, stage: str | None) -> Tokens:
        """A deployed stack by its name or its stage, in the account that the AWS variables and profile name; with
        neither, the local stack that `make run` made. Raises TokenError if there is none."""
        if stack or stage:
            return cls(stack or f"orderline-{stage}", _deployed())
        path = ROOT / os.environ.get("LOCAL", ".local") / "env"
        if not path.exists():
            raise TokenError(
                "there is no local stack: type `make run`, or name a deployed one by --stage or --stack"
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
        self, client: str, scopes: tuple[str, ...], days: int | None = None
    ) -> tuple[str, Token]:
        """A new token's text, which nobody can read again, and its record. Raises TokenError, ValueError."""
        not_after = orders.now() // orders.SECOND + days * DAY_S if days else None
        text, token = auth.issue(client, scopes, not_after)
        self._ask("put_item", Item=auth.encode(token))
        return text, token

    def known(self, token_id: str) -> bool:
        return "Item" in self._ask("get_item", Key={"pk": {"S": token_id}})

    def all(self) -> list[Token]:
        """Every token, by client. A scan: it is an operator who asks, of a table with a row for each client."""
        page = self._ask("scan")
        items = page["Items"]
        while "LastEvaluatedKey" in page:
            page = self._ask("scan", ExclusiveStartKey=page["LastEvaluatedKey"])
            items += page["Items"]
        return sorted(map(auth.decode, items), key=lambda token: (token.owner, token.id))

    def revoke(self, token_id: str) -> Token:
        """It is refused from now on, or from when a function that has just read it forgets it. Raises TokenError."""
        answer = self._ask(
            "update_item",
            Key={"pk": {"S": token_id}},
            UpdateExpression="SET disabled = :yes",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":yes": {"BOOL": True}},
            ReturnValues="ALL_NEW",
        )
        return auth.decode(answer["Attributes"])

    def _ask(self, call: str, **arguments: Any) -> Any:
        table = f"{self.stack}-tokens"
        try:
            return getattr(self.dynamodb, call)(TableName=table, **arguments)
        except ClientError as error:
            raise TokenError(
                _MENDS.get(error.response["Error"]["Code"], str(error)).format(table=table)
            ) from error
        except BotoCoreError as error:
            raise TokenError(
                f"AWS can't be reached: {error}; locally: is `make run` running?"
            ) from error


def _deployed() -> Any:
    """Make the client of a deployed stack's account and region. Raises TokenError if nothing names them."""
    try:
        return aws.client("dynamodb")
    except BotoCoreError as error:  # no region, or a profile that isn't there
        raise TokenError(
            f"{error} Name one: AWS_REGION=eu-central-1, or AWS_PROFILE=..."
        ) from error


def state(token: Token) -> str:
    """In a word or two, for a list of tokens."""
    if token.disabled:
        return "revoked"
    if token.not_after is None:
        return "valid"
    moment = datetime.fromtimestamp(token.not_after, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"expired {moment}" if token.expired() else f"until {moment}"


_MENDS = {
    "ConditionalCheckFailedException": "no token has this id: `python -m cli token list` shows them",
    "ResourceNotFoundException": "there is no table {table}: is the stack deployed, and these its account and region?",
}


def _exported(path: Path) -> dict[str, str]:
    """The variables of .local/env, whose lines are `export NAME='value'`."""
    pairs = (line.removeprefix("export ").partition("=") for line in path.read_text().splitlines())
    return {name: value.strip("'") for name, _, value in pairs}
