"""A task's signature: check inputs against its type hints, describe them, encode results."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import msgspec
import msgspec.inspect
from msgspec import UNSET, Struct

from chalicelib.errors import InvalidInput, NoJSON, TaskMistake, pointer_to
from chalicelib.execution.context import Context
from chalicelib.execution.file import File, Limits, Store, files_in
from chalicelib.execution.file_hints import files_of_input
from chalicelib.execution.json_depth import MAX_DEPTH, too_deep

_JSON = json.JSONEncoder(allow_nan=False, ensure_ascii=False)


class Signature(Struct, frozen=True):
    """The parameters of a task's function."""

    input_type: type[msgspec.Struct]
    """A struct with a field for each parameter but the context."""
    context_name: str | None
    """Name of the parameter that gets the context; None: there is none."""
    file_hints: msgspec.inspect.Type | None
    """The struct as msgspec describes it, to find files by; None if no parameter may have some."""

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Signature:
        """Return a function's signature.

        Raises TaskMistake if a parameter has no type hint, or one that JSON can't represent.
        """
        hints = _hints(function)
        parameters = _parameters(function)
        contexts = [each.name for each in parameters if hints.get(each.name) is Context]
        members = [
            _member(function, parameter, hints)
            for parameter in parameters
            if parameter.name not in contexts
        ]
        try:
            input_type = msgspec.defstruct(
                function.__name__, members, kw_only=True, forbid_unknown_fields=True
            )
            schema = as_json(msgspec.json.schema(input_type))
        except (TypeError, NoJSON) as error:
            raise TaskMistake(
                f"{qualified_name(function)}: a type hint or default can't be written as JSON:"
                f" {error}"
            ) from error
        has_files = f'"{File.__name__}"' in schema
        file_hints = msgspec.inspect.type_info(input_type) if has_files else None
        return cls(input_type, contexts[0] if contexts else None, file_hints)

    def schema(self) -> dict[str, Any]:
        """Return the input's JSON Schema 2020-12: an object with a member for each parameter."""
        schema = msgspec.json.schema(self.input_type)
        definitions = schema.get("$defs", {})
        input_schema: dict[str, Any] = definitions.pop(schema.pop("$ref").rpartition("/")[2])
        return {**input_schema, "$defs": definitions} if definitions else input_schema

    def check(self, value: Any) -> list[tuple[str, File, Limits]]:
        """Check a decoded input against the type hints. Return its files: pointer, file, limits.

        Raises InvalidInput, with a pointer to the wrong member, if it doesn't fit.
        """
        try:
            msgspec.convert(value, self.input_type, str_keys=True)
        except msgspec.ValidationError as error:
            raise _invalid_input(str(error)) from None
        if self.file_hints is None:
            return []
        return list(files_of_input(value, self.file_hints, "/input", Limits()))

    def files(self, text: str) -> list[tuple[str, File, Limits]]:
        """Return the files in an input's JSON text, as `check` does; none if it no longer fits."""
        try:
            return self.check(json.loads(text)) if self.file_hints else []
        except InvalidInput:
            return []

    def accepts(self, value: Any) -> bool:
        """Return True if a decoded input fits the type hints."""
        try:
            self.check(value)
        except InvalidInput:
            return False
        return True

    def arguments(self, text: str, context: Context, store: Store | None = None) -> dict[str, Any]:
        """Return the keyword arguments for an input's JSON text; files read from the store.

        Raises InvalidInput if the input doesn't fit the type hints any more.
        """
        try:
            fields = msgspec.json.decode(text, type=self.input_type)
        except msgspec.ValidationError as error:
            raise _invalid_input(str(error)) from None
        arguments = {name: getattr(fields, name) for name in self.input_type.__struct_fields__}
        for file in files_in(fields) if self.file_hints else ():
            file.store = store
        if self.context_name:
            arguments[self.context_name] = context
        return arguments


def as_json(result: Any) -> str:
    """Return a value as JSON text; msgspec converts dataclasses, structs, dates and the like.

    Raises NoJSON for NaN, infinity, lone surrogates, cycles, other types and values nested deeper
    than MAX_DEPTH.
    """
    try:
        builtins = msgspec.to_builtins(result, str_keys=True)
        text = _JSON.encode(builtins)
        text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NoJSON(str(error)) from error
    if too_deep(text):
        raise NoJSON(f"nested deeper than {MAX_DEPTH} levels")
    return text


def qualified_name(function: Callable[..., Any]) -> str:
    """Return a function's name with its module, as messages show it."""
    return f"{function.__module__}.{function.__qualname__}"


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise TaskMistake(
            f"{qualified_name(function)}: a type hint can't be resolved: {error}"
        ) from error


class _Parameter(NamedTuple):
    """A parameter of a function; `default` is UNSET if it has none."""

    name: str
    by_name: bool
    default: Any


def _parameters(function: Callable[..., Any]) -> list[_Parameter]:
    """Return the parameters of a function, of a plain one without `inspect`.

    Its import would make each cold start longer: docs/performance.md.
    """
    if not isinstance(function, FunctionType) or vars(function):  # decorated
        return _inspected(function)
    code = function.__code__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    values = function.__defaults__ or ()
    last = code.co_varnames[code.co_argcount - len(values) : code.co_argcount]
    defaults = {**dict(zip(last, values, strict=True)), **(function.__kwdefaults__ or {})}
    positional = names[: code.co_posonlyargcount]
    has_args, has_kwargs = bool(code.co_flags & 4), bool(code.co_flags & 8)  # as in `inspect`
    stars = code.co_varnames[len(names) :][: has_args + has_kwargs]
    return [
        _Parameter(name, name not in (*positional, *stars), defaults.get(name, UNSET))
        for name in (*names, *stars)
    ]


def _inspected(function: Callable[..., Any]) -> list[_Parameter]:
    import inspect  # noqa: PLC0415

    return [
        _Parameter(
            each.name,
            each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY),
            UNSET if each.default is each.empty else each.default,
        )
        for each in inspect.signature(function).parameters.values()
    ]


def _member(function: Callable[..., Any], parameter: _Parameter, hints: dict[str, Any]) -> Any:
    if parameter.name not in hints or not parameter.by_name:
        raise TaskMistake(
            f"{qualified_name(function)}: parameter {parameter.name!r} needs a type hint,"
            " and must not be *args, **kwargs or positional-only"
        )
    if parameter.default is UNSET:
        return parameter.name, hints[parameter.name]
    return parameter.name, hints[parameter.name], parameter.default


def _invalid_input(message: str) -> InvalidInput:
    """Convert msgspec's message; its location (`... - at `$.a[0]``) becomes a JSON pointer."""
    sentence, _, location = message.partition(" - at `")
    # For a value of a dict msgspec writes [...] instead of the key: then point to the dict
    path = location.rpartition("$")[2].partition("[...]")[0]
    pointer = "/input" + re.sub(r"\.([^.\[\]`]+)|\[(\d+)\]", r"/\1\2", path.rstrip("`"))
    member = re.search(r"(?:unknown|required) field `(.+)`", sentence)
    if member:
        pointer += pointer_to(member[1])
    return InvalidInput(f"the input doesn't fit the task: {sentence}", pointer)
