"""The three fronts in the packaged template, and what a deploy says of a change between them."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from dev.deploy.address import api_address
from dev.deploy.deploy import changes_address
from dev.deploy.stack import ChangeSet
from dev.packaging import package
from dev.packaging.template import conditioned, numbered

template = functools.cache(package.template)
each_stage = pytest.mark.parametrize("stage", ["dev", "prod"])
CONDITIONS = {
    "IsRest": {"APIHandlerInvokePermission", "RestAPI"},
    "IsHttp": {
        "HttpApi",
        "HttpApiIntegration",
        "HttpApiPermission",
        "HttpApiRoute",
        "HttpApiStage",
    },
    "IsUrl": {"Url", "UrlInvokePermission", "UrlPermission"},
}


def properties(stage: str, name: str) -> Any:
    return template(stage)["Resources"][name]["Properties"]


def change_set(new: bool = False, **parameters: tuple[str | None, str]) -> ChangeSet:
    return ChangeSet("orderline-dev", "id", new, (), template("dev"), parameters)


@each_stage
def test_a_stack_has_one_front_a_rest_api_by_default(stage: str) -> None:
    front = template(stage)["Parameters"]["Front"]
    assert (front["Default"], front["AllowedValues"]) == ("rest", ["rest", "http", "url"])
    conditional: dict[str, set[str]] = {}
    for name, resource in template(stage)["Resources"].items():
        if condition := resource.get("Condition"):
            conditional.setdefault(condition, set()).add(name)
    assert conditional == CONDITIONS


@each_stage
def test_nobody_else_may_call_the_function(stage: str) -> None:
    permissions = {
        name: resource["Properties"]
        for name, resource in template(stage)["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Permission"
    }
    assert {name: (each["Action"], each["Principal"]) for name, each in permissions.items()} == {
        "APIHandlerInvokePermission": ("lambda:InvokeFunction", "apigateway.amazonaws.com"),
        "HttpApiPermission": ("lambda:InvokeFunction", "apigateway.amazonaws.com"),
        "UrlPermission": ("lambda:InvokeFunctionUrl", "*"),
        "UrlInvokePermission": ("lambda:InvokeFunction", "*"),
    }
    assert permissions["HttpApiPermission"]["SourceArn"]["Fn::Sub"].endswith(":${HttpApi}/*")
    # Without these two anybody with an account could call the function in other ways
    assert permissions["UrlPermission"]["FunctionUrlAuthType"] == "NONE"
    assert permissions["UrlInvokePermission"]["InvokedViaFunctionUrl"] is True


@each_stage
def test_the_http_api_has_the_throttle_and_waits_for_the_function(stage: str) -> None:
    assert properties(stage, "HttpApiStage")["DefaultRouteSettings"] == {
        "ThrottlingRateLimit": {"Ref": "RequestsPerSecond"},
        "ThrottlingBurstLimit": {"Ref": "RequestBurst"},
    }
    integration = properties(stage, "HttpApiIntegration")
    assert integration["PayloadFormatVersion"] == "2.0"
    assert integration["TimeoutInMillis"] == 1000 * properties(stage, "APIHandler")["Timeout"]
    # Paths of a named stage have a prefix, which the app takes for a part of the route
    assert properties(stage, "HttpApiStage")["StageName"] == "$default"


@each_stage
def test_concurrency_is_reserved_only_on_request(stage: str) -> None:
    assert template(stage)["Parameters"]["ApiReserved"]["Default"] == 0
    assert template(stage)["Conditions"]["HasApiReserved"] == {
        "Fn::Not": [{"Fn::Equals": [{"Ref": "ApiReserved"}, 0]}]
    }
    reserved = properties(stage, "APIHandler")["ReservedConcurrentExecutions"]
    assert reserved["Fn::If"][:2] == ["HasApiReserved", {"Ref": "ApiReserved"}]
    local = numbered(template(stage), {"ApiReserved": "7"})["Resources"]["APIHandler"]
    assert local["Properties"]["ReservedConcurrentExecutions"]["Fn::If"][1] == 7


@pytest.mark.parametrize("front", ["rest", "http", "url"])
def test_the_local_cloud_gets_only_the_resources_of_the_chosen_front(front: str) -> None:
    made = set(conditioned(template("dev"), {"Front": front})["Resources"])

    others = {
        name
        for condition, names in CONDITIONS.items()
        for name in names
        if condition != f"Is{front.capitalize()}"
    }
    assert made == set(template("dev")["Resources"]) - others
    assert set(conditioned(template("dev"), {})["Resources"]) - made == (
        set() if front == "rest" else CONDITIONS["IsRest"]
    )


@pytest.mark.parametrize(
    ("api", "local"),
    [
        ("https://abc.execute-api.eu-west-1.amazonaws.com/api/", "execute-api/abc/api"),
        ("https://abc.execute-api.eu-west-1.amazonaws.com", "execute-api/abc"),
        ("https://abc.lambda-url.eu-west-1.on.aws/", "lambda-url/abc"),
    ],
)
def test_the_address_has_no_slash_at_its_end(api: str, local: str) -> None:
    assert api_address({"API": api}, None) == api.rstrip("/")
    assert api_address({"API": api}, "http://127.0.0.1:4566") == (
        f"http://127.0.0.1:4566/_aws/{local}"
    )


def test_a_stack_of_an_older_version_has_the_address_of_its_rest_api() -> None:
    endpoint = "https://abc.execute-api.eu-west-1.amazonaws.com/api/"
    assert api_address({"EndpointURL": endpoint}, None) == endpoint.rstrip("/")


def test_only_another_front_of_a_stack_that_exists_changes_its_address() -> None:
    assert changes_address(change_set(Front=("rest", "http")))
    # An older version has no such parameter, and a REST API
    assert changes_address(change_set(Front=(None, "url")))
    assert not changes_address(change_set(new=True, Front=(None, "url")))
    assert not changes_address(change_set(LogDays=("14", "30")))
