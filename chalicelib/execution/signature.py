"""A task's type hints as its contract: what inputs fit, their JSON Schema, and its result as JSON."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from chalicelib.errors import InvalidInput, NoJSON, TaskMistake, pointer_to
from chalicelib.execution.context import Context
from chalicelib.execution.json_depth import MAX_DEPTH, too_deep


@dataclass(frozen=True)
class Signature:
    """A function's parameters: a struct with a field for each, and the name of the one that takes the context."""

    input_type: type[msgspec.Struct]
    context_name: str | None

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Raises TaskMistake for a parameter that no JSON member can fill."""
        hints = _hints(function)
        parameters = inspect.signature(function).parameters.values()
        contexts = [
            parameter.name for parameter in parameters if hints.get(parameter.name) is Context
        ]
        members = [
            _member(function, parameter, hints)
            for parameter in parameters
            if parameter.name not in contexts
        ]
        try:
            made = msgspec.defstruct(
                function.__name__, members, kw_only=True, forbid_unknown_fields=True
            )
            as_json(msgspec.json.schema(made))
        except (TypeError, NoJSON) as fault:
            raise TaskMistake(
                f"{place_of(function)}: a hint or default that JSON can't carry: {fault}"
            ) from fault
        return cls(made, contexts[0] if contexts else None)

    def schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of the input: an object with a member for each parameter."""
        schema = msgspec.json.schema(self.input_type)
        definitions = schema.get("$defs", {})
        own = definitions.pop(schema.pop("$ref").rpartition("/")[2])
        return {**own, **({"$defs": definitions} if definitions else {})}

    def check(self, value: Any) -> None:
        """Raises InvalidInput, with a pointer to the member at fault, if the input doesn't fit the type hints."""
        try:
            msgspec.convert(value, self.input_type, str_keys=True)
        except msgspec.ValidationError as fault:
            raise _invalid(str(fault)) from None

    def accepts(self, value: Any) -> bool:
        try:
            self.check(value)
        except InvalidInput:
            return False
        return True

    def arguments(self, text: str, context: Context) -> dict[str, Any]:
        """The keyword arguments that an input's text stands for. Raises InvalidInput if it fits no more."""
        try:
            fitted = msgspec.json.decode(text, type=self.input_type)
        except msgspec.ValidationError as fault:
            raise _invalid(str(fault)) from None
        arguments = {name: getattr(fitted, name) for name in self.input_type.__struct_fields__}
        return {**arguments, **({self.context_name: context} if self.context_name else {})}


def as_json(result: Any) -> str:
    """Dataclasses, structs, dates and the like as msgspec writes them. Raises NoJSON: NaN, lone surrogates, cycles, or
    nested so deep that a reader may give up."""
    try:
        text = json.dumps(
            msgspec.to_builtins(result, str_keys=True), allow_nan=False, ensure_ascii=False
        )
        text.encode()
    except (TypeError, ValueError, RecursionError) as fault:
        raise NoJSON(str(fault)) from fault
    if too_deep(text):
        raise NoJSON(f"nested deeper than {MAX_DEPTH} levels")
    return text


def place_of(function: Callable[..., Any]) -> str:
    return f"{function.__module__}.{function.__qualname__}"


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as fault:
        raise TaskMistake(
            f"{place_of(function)}: a type hint that can't be found: {fault}"
        ) from fault


def _member(
    function: Callable[..., Any], parameter: inspect.Parameter, hints: dict[str, Any]
) -> Any:
    by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    if parameter.name not in hints or not by_name:
        raise TaskMistake(
            f"{place_of(function)}: parameter {parameter.name!r} needs a type hint, and can be no *args,"
            " **kwargs or positional-only one"
        )
    if parameter.default is parameter.empty:
        return parameter.name, hints[parameter.name]
    return parameter.name, hints[parameter.name], parameter.default


def _invalid(fault: str) -> InvalidInput:
    """Msgspec's sentence, with the place that it names (`... - at `$.a[0]``) as a JSON pointer."""
    sentence, _, place = fault.partition(" - at `")
    path = place.rpartition("$")[2].partition("[...]")[
        0
    ]  # it names no key of a dict: then the dict is pointed to
    pointer = "/input" + re.sub(r"\.([^.\[\]`]+)|\[(\d+)\]", r"/\1\2", path.rstrip("`"))
    member = re.search(r"(?:unknown|required) field `(.+)`", sentence)
    if member:
        pointer += pointer_to(member[1])
    return InvalidInput(f"the input doesn't fit the task: {sentence}", pointer)
