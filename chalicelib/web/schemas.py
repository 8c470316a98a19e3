"""JSON Schemas of requests and responses, generated from their Structs and from the tasks."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from chalicelib import tasks
from chalicelib.tasks import Task
from chalicelib.web import bodies
from chalicelib.web.operations import Api
from chalicelib.web.problems import TYPES

Schema = dict[str, Any]
_REFERENCE = "#/components/schemas/{name}"


def _with_all(**members: Schema) -> Schema:
    """Return the schema of objects that have all of these members."""
    return {"properties": members, "required": list(members)}


_REFUSED = [  # combinations of the members of a new order; new_order.py has the messages
    _with_all(delay_s={}, run_at={}),
    _with_all(after={"minItems": 1}, delay_s={}),
    _with_all(after={"minItems": 1}, run_at={}),
    {"properties": {"when": {}, "after": {"maxItems": 0}}, "required": ["when"]},
]


_REFUSED_RETRIES = [  # combinations of an operator's retry; operator_views.py has the messages
    *(
        _with_all(orders={}, **{name: {}})
        for name in ("task", "failed_since", "limit", "after", "dry_run")
    ),
    {"not": {"anyOf": [_with_all(orders={}), _with_all(task={}, failed_since={})]}},
]


def of(body: Any) -> Schema:
    """Return the schema of a body's type: a reference if it is a Struct."""
    if isinstance(body, type) and issubclass(body, msgspec.Struct):
        return {"$ref": _REFERENCE.format(name=body.__name__)}
    return msgspec.json.schema(body)


def components(api: Api) -> dict[str, Schema]:
    """Return every schema by its name.

    Generators make a class of each. They have no titles, which would name the classes, since a
    task, or a type in its hints, may have the name of one of our own schemas.
    """
    answers = [answer.body for operation in api.values() for answer in operation.answers.values()]
    requests = [operation.body for operation in api.values()]
    own = _own((*answers, *requests, bodies.Problem))
    variants, inputs = _new_orders(own["NewOrder"])
    new_order = {"oneOf": [{"$ref": _REFERENCE.format(name=name)} for name in variants]}
    every = {**inputs, **variants, **own, "NewOrder": new_order}
    return {name: _without_title(schema) for name, schema in every.items()}


@functools.cache  # reading the annotations takes milliseconds
def _own(types: tuple[Any, ...]) -> dict[str, Schema]:
    """Return the schemas of our Structs, and of those that they refer to."""
    described = [type for type in types if type is not None]
    _, schemas = msgspec.json.schema_components(described, ref_template=_REFERENCE)
    schemas["Problem"]["properties"]["type"] |= {
        "enum": [f"/problems/{name}" for name in TYPES],
        # Names for code generators
        "x-enum-varnames": [name.upper().replace("-", "_") for name in TYPES],
    }
    schemas["FailedOrders"]["not"] = {"anyOf": _REFUSED_RETRIES}
    return schemas


def _new_orders(base: Schema) -> tuple[dict[str, Schema], dict[str, Schema]]:
    """Return a schema for each task's orders, and the types that their inputs refer to."""
    known = tasks.known().values()
    references, types = msgspec.json.schema_components(
        [task.signature.input_type for task in known],
        ref_template=_REFERENCE.format(name="Input_{name}"),
    )
    inputs = {f"Input_{name}": schema for name, schema in types.items()}
    variants = {}
    for task, reference in zip(known, references, strict=True):
        input_schema = inputs.pop(reference["$ref"].rpartition("/")[2])
        variants[f"NewOrder_{task.name}"] = _new_order(base, task, _without_title(input_schema))
    return variants, inputs


def _new_order(base: Schema, task: Task, input_schema: Schema) -> Schema:
    """Return the schema of a new order, `base`, for one task."""
    needs_input = not task.signature.accepts({})
    return {
        **base,
        "description": task.description,
        "properties": {
            **base["properties"],
            "task": {"type": "string", "const": task.name},
            "input": input_schema,
        },
        "required": ["task", "input"] if needs_input else ["task"],
        "not": {"anyOf": _REFUSED},
    }


def _without_title(schema: Schema) -> Schema:
    return {name: value for name, value in schema.items() if name != "title"}
