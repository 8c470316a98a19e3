"""The typed calls to AWS have the names of AWS's own API."""

from __future__ import annotations

import inspect
from typing import get_type_hints, is_typeddict

import pytest

from chalicelib.aws import boto
from chalicelib.aws.calls import SQS, DynamoDB


@pytest.mark.parametrize(("service", "protocol"), [("dynamodb", DynamoDB), ("sqs", SQS)])
def test_every_parameter_and_member_is_one_of_awss(service: str, protocol: type) -> None:
    model = boto.session().get_service_model(service)
    methods = inspect.getmembers(
        protocol, lambda value: inspect.isfunction(value) and value.__name__[0] != "_"
    )
    assert methods
    for name, method in methods:
        operation = model.operation_model(name.title().replace("_", ""))
        assert set(inspect.signature(method).parameters) - {"self"} <= set(
            operation.input_shape.members
        )
        result = get_type_hints(method)["return"]
        if is_typeddict(result):
            assert set(result.__annotations__) <= set(operation.output_shape.members)
