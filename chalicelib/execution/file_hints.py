"""Find the files of an input: its JSON and its type hints are walked side by side.

The JSON gives the pointer to each file, and the hints its limits, however deep they are nested.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

from chalicelib.errors import pointer_to
from chalicelib.execution.file import File, Limits


def files_of_input(
    value: Any, hint: inspect.Type, pointer: str, limits: Limits
) -> Iterator[tuple[str, File, Limits]]:
    """Yield the pointer, the file and the limits of each file in a value that fits its hint.

    Args:
        value: decoded JSON
        hint: the value's type, as msgspec describes it
        pointer: JSON pointer (RFC 6901) to the value
        limits: those of the hints around it
    """
    if isinstance(hint, inspect.Metadata):
        yield from files_of_input(value, hint.type, pointer, limits.narrowed(hint.extra or {}))
    elif isinstance(hint, inspect.UnionType):
        for option in hint.types:
            yield from files_of_input(value, option, pointer, limits)
    elif isinstance(hint, inspect.StructType) and hint.cls is File:
        if isinstance(value, dict):
            yield pointer, msgspec.convert(value, File), limits
    else:
        for name, member, inner in _members(value, hint):
            yield from files_of_input(member, inner, pointer + pointer_to(str(name)), limits)


def _members(value: Any, hint: inspect.Type) -> Iterator[tuple[Any, Any, inspect.Type]]:
    """Yield name, value and hint of each member; none if a union's other type fits the value."""
    match value, hint:
        case dict(), inspect.DictType():
            for name, member in value.items():
                yield name, member, hint.value_type
        case dict(), inspect.StructType(array_like=False) if hint.tag in (None, _tag(value, hint)):
            yield from _fields(value, hint)
        case dict(), inspect.TypedDictType() | inspect.DataclassType():
            yield from _fields(value, hint)
        case list(), inspect.CollectionType():
            for index, member in enumerate(value):
                yield index, member, hint.item_type
        case list(), inspect.TupleType():
            for index, pair in enumerate(zip(value, hint.item_types, strict=False)):
                yield index, *pair
        case list(), inspect.NamedTupleType():
            for index, (member, field) in enumerate(zip(value, hint.fields, strict=False)):
                yield index, member, field.type
        case list(), inspect.StructType(array_like=True) if hint.tag in (None, *value[:1]):
            offset = hint.tag is not None
            for index, (member, field) in enumerate(zip(value[offset:], hint.fields, strict=False)):
                yield index + offset, member, field.type


def _fields(
    value: dict[Any, Any],
    hint: inspect.StructType | inspect.TypedDictType | inspect.DataclassType,
) -> Iterator[tuple[str, Any, inspect.Type]]:
    for field in hint.fields:
        if field.encode_name in value:
            yield field.encode_name, value[field.encode_name], field.type


def _tag(value: dict[Any, Any], hint: inspect.StructType) -> Any:
    return value.get(hint.tag_field)
