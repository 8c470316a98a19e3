"""Every error that a request can meet has a problem type, and errors.py lists every error."""

from __future__ import annotations

import inspect
import re

from chalicelib import errors
from chalicelib.errors import OrderlineError
from chalicelib.web import problems

# Raised at import, or handled before they reach a view
INTERNAL = {
    "ConditionFailed",
    "CallFailed",
    "CallRefused",
    "DeliveryFailed",
    "EndpointGone",
    "NoJSON",
    "SecretMissing",
    "SettingMistake",
    "TaskMistake",
    "TryLater",
}


def declared() -> dict[str, type[OrderlineError]]:
    classes = dict(inspect.getmembers(errors, inspect.isclass))
    return {name: value for name, value in classes.items() if issubclass(value, OrderlineError)}


def test_an_error_without_a_problem_type_is_internal() -> None:
    bases = {"OrderlineError", "Refusal"}
    unmapped = {name for name, value in declared().items() if not problems.name_of(value)}

    assert unmapped - bases == INTERNAL


def test_the_tree_lists_every_error_under_its_base() -> None:
    path = ["OrderlineError"]
    listed = set()
    for prefix, name in re.findall(r"^([│├└─ ]+)(\w+)  ", f"{errors.__doc__}", re.MULTILINE):
        depth = len(prefix) // 4
        path[depth:] = [name]
        listed.add(name)
        assert declared()[name].__bases__[0].__name__ == path[depth - 1]

    assert listed == set(declared()) - {"OrderlineError"}
