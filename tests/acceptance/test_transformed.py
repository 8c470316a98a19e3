"""The template as CloudFormation sees it, after SAM's transform to plain resources."""

from __future__ import annotations

from typing import Any

import pytest

from dev.packaging import package
from dev.packaging.template import located

pytestmark = pytest.mark.local  # the transform is installed with the local cloud


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


@pytest.fixture(scope="module", params=["dev", "prod"])
def resources(request: pytest.FixtureRequest) -> Any:
    from samtranslator.translator.transform import transform  # noqa: PLC0415  slow

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        whole = located(package.template(request.param), {"Bucket": "b", "Key": "k"})
        return transform(whole, {}, _NoManagedPolicies())["Resources"]


def test_only_x_ray_has_a_wildcard_resource(resources: Any) -> None:
    roles = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::IAM::Role"
    ]
    assert len(roles) == 4, "SAM makes no role of its own"
    for role in roles:
        assert not role.get("ManagedPolicyArns")
        for policy in role["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if statement["Resource"] == "*":
                    assert statement["Action"] == [
                        "xray:PutTraceSegments",
                        "xray:PutTelemetryRecords",
                    ]


def test_every_function_has_a_log_group_with_a_retention(resources: Any) -> None:
    groups = {
        name for name, resource in resources.items() if resource["Type"] == "AWS::Logs::LogGroup"
    }
    assert all(resources[name]["Properties"]["RetentionInDays"] for name in groups)
    functions = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::Function"
    ]
    assert {resource["LoggingConfig"]["LogGroup"]["Ref"] for resource in functions} == groups


def test_the_only_stage_is_ours_and_has_the_throttle(resources: Any) -> None:
    stages = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::ApiGateway::Stage"
    ]
    assert [resource["StageName"] for resource in stages] == ["api"]
    assert stages[0]["MethodSettings"][0]["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    deployments = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::ApiGateway::Deployment"
    ]
    assert all("StageName" not in resource for resource in deployments), (
        "a deployment can make a stage too"
    )


def test_everything_of_the_rest_api_is_there_only_if_it_is_the_front(resources: Any) -> None:
    kinds = {
        resource["Type"]: resource.get("Condition")
        for name, resource in resources.items()
        if resource["Type"].startswith("AWS::ApiGateway::") or name == "APIHandlerInvokePermission"
    }
    assert kinds == dict.fromkeys(
        (
            "AWS::ApiGateway::RestApi",
            "AWS::ApiGateway::Deployment",
            "AWS::ApiGateway::Stage",
            "AWS::Lambda::Permission",
        ),
        "IsRest",
    )


def test_the_api_is_named_after_its_stack_for_metrics_of_its_own(resources: Any) -> None:
    api = resources["RestAPI"]["Properties"]
    assert api["Name"] == api["Body"]["info"]["title"] == {"Ref": "AWS::StackName"}


def test_both_mappings_report_batch_item_failures(resources: Any) -> None:
    mappings = [
        resource["Properties"]
        for resource in resources.values()
        if resource["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    assert [resource["FunctionResponseTypes"] for resource in mappings] == [
        ["ReportBatchItemFailures"]
    ] * 2
