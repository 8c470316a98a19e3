"""Parameters that may only grow: numbers of partitions, which rows keep. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LOST = {
    "DueShards": "the sweeper would never see again the orders whose timers are in the others",
    "ListShards": "lists of orders would lack those that are in the others",
}
_SETTINGS = {"DueShards": "DUE_SHARDS", "ListShards": "LIST_SHARDS"}


def settings(template: Mapping[str, Any]) -> dict[str, str]:
    """Return the app's settings that have these numbers by default, as Lambda has them."""
    parameters = template["Parameters"]
    return {setting: str(parameters[name]["Default"]) for name, setting in _SETTINGS.items()}


def warning(template: Mapping[str, Any], changed: Mapping[str, tuple[str | None, str]]) -> str:
    """Return a line for a stack that imports tables, whose numbers of partitions nothing tells."""
    numbers = []
    for name in _LOST:
        default = str(template["Parameters"][name]["Default"])
        numbers.append(f"{name}={changed.get(name, (None, default))[1]}")
    return (
        f"  WARNING: the imported tables must have no more partitions than {' and '.join(numbers)};"
        " orders in others would be seen by no list and no sweep"
    )


def refusal(parameters: Mapping[str, tuple[str | None, str]]) -> str | None:
    """Return why these changes of parameters, as name -> (before, after), can't be made, or None.

    A stack of a version without the parameter had one partition.
    """
    for name, reason in _LOST.items():
        before, after = parameters.get(name, (None, "1"))
        if int(after) < int(before or 1):
            return (
                f"{name} may only grow: the stack has {before} partitions, and with {after}"
                f' {reason}. Keep it: SET="{name}={before}", or in orderline.yaml'
                f" `parameters: {{{name}: {before}}}`"
            )
    return None
