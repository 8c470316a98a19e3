"""Every error that Orderline raises on purpose.

OrderlineError
├── Refusal                the request can't be fulfilled; nothing was changed
│   ├── InvalidOrder       the order is malformed (`pointer`: which member)
│   │   ├── InvalidInput   the input doesn't fit the task's type hints
│   │   ├── InvalidPrerequisite  the order can't wait for another that it names
│   │   ├── InvalidNotify  the order names a webhook endpoint that can't be told
│   │   ├── FileMissing    a file of the input is not stored, or not for long enough
│   │   └── UnknownTask    there is no such task (`known`: the tasks that exist)
│   ├── TooLarge           the input is over its maximum size
│   ├── KeyReused          the Idempotency-Key belongs to another request
│   ├── NotCancellable     the order has ended, or runs and must not be stopped
│   ├── NotRetryable       the order is neither FAILED nor CANCELLED
│   ├── NotFound           there is no such order, or it belongs to another owner
│   ├── Unauthorized       the request has no access token
│   ├── InvalidToken       the token is malformed, unknown, revoked or expired
│   └── InsufficientScope  the token is valid, but lacks the scope for this request (`scope`)
├── Unavailable            AWS can't be reached, is too slow or throttles; try again
│   ├── FileUnavailable    a file can't be read or stored now
│   ├── NoTimeLeft         the function is about to be ended; the rest is done later
│   └── NoCloud            no AWS is configured here
├── CallRefused            AWS answered a call with an error (`code`)
├── CallFailed             a call got no response
├── UnreadableOrder        an order's row can't be decoded by this version
├── ConditionFailed        the condition of a conditional write did not hold (`row`: the order)
├── SecretMissing          a declared secret is not stored
├── DeliveryFailed         an attempt to deliver a webhook failed (`code`)
│   ├── TryLater           the receiver asks for a pause (`seconds`)
│   └── EndpointGone       the endpoint is disabled, or its receiver has just answered 410
├── NoJSON                 a value can't be written as JSON
├── TaskMistake            a task is declared wrongly, or uses what is not declared
└── SettingMistake         an environment variable has an invalid value; raised at import

The docstrings of KeyReused, NotFound, Unauthorized, InvalidToken and UnreadableOrder are also their
messages, so they are written for clients and have one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chalicelib.orders import Order


class OrderlineError(Exception):
    """The base class of Orderline's errors."""


class Refusal(OrderlineError):
    """The request can't be fulfilled; nothing was changed."""


class InvalidOrder(Refusal):
    """The order is malformed. `pointer` is the JSON pointer (RFC 6901) to the wrong member."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


def pointer_to(*members: str) -> str:
    """Return the JSON pointer (RFC 6901) to a nested member."""
    return "".join("/" + member.replace("~", "~0").replace("/", "~1") for member in members)


class InvalidInput(InvalidOrder):
    """The order's input doesn't fit its task's type hints."""


class InvalidPrerequisite(InvalidOrder):
    """The order can't wait for another that it names: there is none, or too many wait for it."""


class InvalidNotify(InvalidOrder):
    """The order names a webhook endpoint that can't be told."""


class FileMissing(InvalidOrder):
    """A file of the order's input is not stored, or would be deleted before the order ends."""


class UnknownTask(InvalidOrder):
    """There is no task of that name. `known` lists the tasks that exist."""

    def __init__(self, name: str, known: list[str]) -> None:
        super().__init__(f"no task is called {name!r}; the tasks are: {', '.join(known)}", "/task")
        self.known = known


class TooLarge(Refusal):
    """The order's input is over its maximum size."""

    def __init__(self, maximum: str) -> None:
        super().__init__(f"an order's input may have at most {maximum}")


class KeyReused(Refusal):
    """This Idempotency-Key was used for another request; use a new key for a new request."""


class NotFound(Refusal):
    """No order of yours has this reference number."""


class NotCancellable(Refusal):
    """The order can't be cancelled any more, or only be stopped."""

    def __init__(self, status: str, stop_running: bool) -> None:
        cancellable = "a PENDING or RUNNING order" if stop_running else "a PENDING order"
        hint = "; stop it instead" if status == "RUNNING" else ""
        super().__init__(f"only {cancellable} can be cancelled; this one is {status}{hint}")
        self.order_status = status


class NotRetryable(Refusal):
    """Only an order that failed or was cancelled can be retried."""

    def __init__(self, status: str, reason: str = "") -> None:
        super().__init__(
            reason
            or f"only an order that failed or was cancelled can be retried; this one is {status}"
        )
        self.order_status = status


class Unauthorized(Refusal):
    """Send `Authorization: Bearer ol_...`; `python -m dev token create` makes an access token."""


class InvalidToken(Refusal):
    """This access token is not valid: it is malformed, unknown, revoked or expired."""


class InsufficientScope(Refusal):
    """The access token is valid, but does not have the scope that the request needs."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"this request needs an access token with the scope {scope}")
        self.scope = scope


class Unavailable(OrderlineError):
    """AWS can't be reached, is too slow or throttles. The call may have taken effect."""


class CallRefused(OrderlineError):
    """AWS answered a call with an error.

    `code` is AWS's name of the error, `item` the row that failed a condition, as DynamoDB's item;
    `again` is True if the same call may succeed later.
    """

    def __init__(self, code: str, item: dict[str, Any] | None = None, again: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.item = item
        self.again = again


class CallFailed(OrderlineError):
    """A call got no response; the message names the underlying error."""


class FileUnavailable(Unavailable):
    """A file can't be read or stored now. An attempt that meets it is retried."""


class NoTimeLeft(Unavailable):
    """The function is about to be ended, so the rest is left to its next invocation."""


class NoCloud(Unavailable):
    """No AWS is configured here."""


class UnreadableOrder(OrderlineError):
    """This version can't read the order; if a newer version wrote it, deploy that version."""


class ConditionFailed(OrderlineError):
    """The condition of a conditional write did not hold.

    `row` is the order as it is in the table, None if there is none.
    """

    def __init__(self, row: Order | None) -> None:
        super().__init__("the order has changed since it was read")
        self.row = row


class SecretMissing(OrderlineError):
    """A declared secret is not stored; the message names it and the command that stores it."""


class DeliveryFailed(OrderlineError):
    """An attempt to deliver a webhook failed.

    `code` is the kind of failure. Neither it nor the message names an address or repeats what the
    receiver said, so that nobody can explore a network through us.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class TryLater(DeliveryFailed):
    """The receiver asks that the next attempt comes after a pause of `seconds`."""

    def __init__(self, status: int, seconds: int) -> None:
        super().__init__(
            "receiver_refused", f"the receiver answered {status} and asks to wait {seconds} s"
        )
        self.seconds = seconds


class EndpointGone(DeliveryFailed):
    """The endpoint gets no deliveries any more; another attempt can't help."""

    def __init__(self) -> None:
        super().__init__(
            "endpoint_gone",
            "the endpoint is disabled, because its receiver answered 410 Gone; to use it again:"
            " python -m dev webhook remove, then add",
        )


class NoJSON(OrderlineError):
    """A value, such as a task's result, can't be written as JSON."""


class TaskMistake(OrderlineError):
    """A task is declared wrongly, or uses what is not declared; another attempt can't help.

    What an import can find is raised there, so that the task's author sees it first.
    """


class SettingMistake(OrderlineError, ValueError):
    """An environment variable has an invalid value. Raised at import."""
