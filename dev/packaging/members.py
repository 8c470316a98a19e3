"""Members of orderline.yaml: what a lane, and all workers, may have."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_type_hints

import msgspec
from msgspec import Meta, Struct, field


class Right(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A statement of an IAM policy, in AWS's own words.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_statement.html
    """

    action: str | list[str] = field(name="Action")
    resource: Any = field(name="Resource")
    effect: Literal["Allow", "Deny"] = field(name="Effect", default="Allow")
    condition: dict[str, Any] | None = field(name="Condition", default=None)
    sid: str | None = field(name="Sid", default=None)

    def statement(self) -> dict[str, Any]:
        """Return the statement as a member of a policy."""
        return {**msgspec.to_builtins(self), "Effect": self.effect}


Environment = dict[str, str | int | float | dict[str, Any]]
"""Variables; a value may be one of CloudFormation's functions, such as {"Ref": "Photos"}."""
Secrets = dict[str, str | None]
"""Secrets by name, each with the name of its SSM parameter; None: `/<stack>/<name>`."""


class Sizes(Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of a lane. None: as the default lane's, or Lambda's default.

    The bounds are AWS's: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    """

    memory_mb: Annotated[int, Meta(ge=128, le=10_240)] | None = None
    """Memory of the function in MB; the share of CPU grows with it."""
    timeout_s: Annotated[int, Meta(ge=3, le=900)] | None = None
    """Timeout of the function in seconds, above the `timeout_s` of the lane's tasks."""
    concurrency: Annotated[int, Meta(ge=2, le=1000)] | None = None
    """Maximum number of workers at once; AWS has no smaller maximum than 2."""
    storage_mb: Annotated[int, Meta(ge=512, le=10_240)] | None = None
    """Size of /tmp in MB."""
    reserved: Annotated[int, Meta(ge=2, le=1000)] | None = None
    """Concurrency that is taken from the account's for this lane alone, in workers."""
    batch: Annotated[int, Meta(ge=1, le=10)] | None = None
    """Maximum number of messages per invocation."""


class Lane(Sizes, frozen=True, forbid_unknown_fields=True):
    """A queue and a worker function of its own."""

    environment: Environment = field(default_factory=dict)
    """Variables of this lane's worker."""
    secrets: Secrets = field(default_factory=dict)
    """Secrets of this lane's worker."""
    rights: list[Right] = field(default_factory=list)
    """Statements for the role of this lane's worker."""


class Webhooks(Sizes, frozen=True, forbid_unknown_fields=True):
    """The lane that delivers webhooks. None: the number in `lane`."""

    timeout_s: Annotated[int, Meta(ge=15, le=900)] | None = None
    """Timeout of the function in seconds; a receiver may take 10 of them."""

    def lane(self) -> Sizes:
        """Return the lane's numbers; none is the default lane's."""
        return Sizes(
            memory_mb=self.memory_mb or 256,
            timeout_s=self.timeout_s or 20,
            concurrency=self.concurrency or self.reserved or 10,
            storage_mb=self.storage_mb or 512,
            reserved=self.reserved,
            batch=self.batch or 1,
        )


def ranges(type: type[Sizes]) -> dict[str, tuple[int, int]]:
    """Return the smallest and the largest value of each number of a lane."""
    hints = get_type_hints(type, include_extras=True)
    bounds = {name: hints[name].__args__[0].__metadata__[0] for name in Sizes.__struct_fields__}
    return {name: (each.ge, each.le) for name, each in bounds.items()}
