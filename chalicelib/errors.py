"""Every error that Orderline raises on purpose.

OrderlineError
├── Refusal                what the client asked for can't be done; nothing was changed
│   ├── InvalidOrder       the order's shape is wrong (which member: `pointer`)
│   │   ├── InvalidInput   its input doesn't fit the task's type hints
│   │   └── UnknownTask    no such task; lists the known ones
│   ├── TooLarge           more bytes than an order may have
│   ├── KeyReused          the Idempotency-Key belongs to another request
│   ├── NotCancellable     a worker has claimed it, or it is final
│   ├── NotRetryable       it is neither FAILED nor CANCELLED
│   ├── NotFound           no such order, or another client's
│   ├── Unauthorized       the request has no access token
│   ├── InvalidToken       the token is malformed, unknown, revoked or expired
│   └── InsufficientScope  the token is valid, but lacks the scope for this request (`scope`)
├── Unavailable            AWS isn't there, is too slow or throttles; try again
│   └── NoCloud            no AWS is configured here
├── UnreadableOrder        an order's row can't be decoded by this version
├── ConditionFailed                  a conditional write was refused: the row is not as the fence believed (`row`)
├── NoJSON                 a task's result can't be written as JSON
├── TaskMistake            a task is declared wrongly; raised at import
└── SettingMistake         an environment variable holds what its setting can't be
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chalicelib.orders import Order


class OrderlineError(Exception):
    """The root."""


class Refusal(OrderlineError):
    """What the client asked for can't be done; nothing was changed."""


class InvalidOrder(Refusal):
    """The order's shape is wrong. `pointer` is the JSON pointer (RFC 6901) to the member at fault."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


def pointer_to(*members: str) -> str:
    """The JSON pointer to a member of a member."""
    return "".join("/" + member.replace("~", "~0").replace("/", "~1") for member in members)


class InvalidInput(InvalidOrder):
    """The order's input doesn't fit its task's type hints."""


class UnknownTask(InvalidOrder):
    """No task has that name. `known` lists those that exist."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no task is called {name!r}; there are: {', '.join(known)}", "/task")
        self.known = known


class TooLarge(Refusal):
    """The order's input has more bytes than are kept."""

    def __init__(self, most: int) -> None:
        super().__init__(
            f"an order's input may have {most} bytes of JSON (the setting MAX_INPUT_BYTES)"
        )
        self.most = most


class KeyReused(Refusal):
    """This Idempotency-Key was used for another request; nothing was placed. A new request needs a new key."""


class NotFound(Refusal):
    """No order of yours has this reference number."""


class NotCancellable(Refusal):
    """Only an order that waits can be cancelled."""

    def __init__(self, status: str) -> None:
        super().__init__(f"only an order that waits can be cancelled; this one is {status}")
        self.order_status = status


class NotRetryable(Refusal):
    """Only an order that failed or was cancelled can be retried."""

    def __init__(self, status: str) -> None:
        super().__init__(
            f"only an order that failed or was cancelled can be retried; this one is {status}"
        )
        self.order_status = status


class Unauthorized(Refusal):
    """An access token is needed: `Authorization: Bearer ol_...`. `python -m cli token create` makes one."""


class InvalidToken(Refusal):
    """This access token is not valid: it is malformed, unknown, revoked or expired."""


class InsufficientScope(Refusal):
    """The access token is valid, but does not have the scope that the request needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this request needs an access token with the scope {scope}")
        self.scope = scope


class Unavailable(OrderlineError):
    """AWS isn't there, is too slow or throttles. Nothing is known of the call's effect."""


class CallRefused(OrderlineError):
    """AWS answered a call with an error. `item` is the row that refused a condition, `again`: it may pass later."""

    def __init__(self, code: str, item: dict[str, Any] | None = None, again: bool = False) -> None:
        super().__init__(code)
        self.code, self.item, self.again = code, item, again


class CallFailed(OrderlineError):
    """No answer came to a call; the message is what happened instead."""


class NoCloud(Unavailable):
    """No AWS is configured here."""


class UnreadableOrder(OrderlineError):
    """This version can't read the order: a newer one wrote it, or it was changed by hand. Deploy the newer version."""


class ConditionFailed(OrderlineError):
    """A conditional write was refused. `row` is the order as it is, None where there is none."""

    def __init__(self, row: Order | None) -> None:
        super().__init__("the order is not as its fence believed")
        self.row = row


class NoJSON(OrderlineError):
    """A task's result can't be written as JSON."""


class TaskMistake(OrderlineError):
    """A task is declared wrongly: raised at import, so that its author sees it first."""


class SettingMistake(OrderlineError, ValueError):
    """An environment variable holds what its setting can't be: raised at import."""
