"""The template as CloudFormation sees it, once SAM's transform has made plain resources of ours."""

from __future__ import annotations

from typing import Any

import pytest

from cli import package
from cli.template import located

pytestmark = pytest.mark.local  # the transform comes with the local cloud's lock


class _NoManagedPolicies:
    def load(self) -> dict[str, str]:
        return {}


@pytest.fixture(scope="module", params=["dev", "prod"])
def resources(request: pytest.FixtureRequest) -> Any:
    from samtranslator.translator.transform import transform  # noqa: PLC0415  slow, and not in requirements.txt

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        whole = located(package.template(request.param), {"Bucket": "b", "Key": "k"})
        return transform(whole, {}, _NoManagedPolicies())["Resources"]


def test_only_x_ray_has_a_wildcard_resource(resources: Any) -> None:
    roles = [made["Properties"] for made in resources.values() if made["Type"] == "AWS::IAM::Role"]
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


def test_every_log_group_has_a_retention_and_every_function_one_of_them(resources: Any) -> None:
    groups = {name for name, made in resources.items() if made["Type"] == "AWS::Logs::LogGroup"}
    assert all(resources[name]["Properties"]["RetentionInDays"] for name in groups)
    functions = [
        made["Properties"] for made in resources.values() if made["Type"] == "AWS::Lambda::Function"
    ]
    assert {made["LoggingConfig"]["LogGroup"]["Ref"] for made in functions} == groups


def test_there_is_no_stage_but_ours_which_has_the_throttle(resources: Any) -> None:
    stages = [
        made["Properties"]
        for made in resources.values()
        if made["Type"] == "AWS::ApiGateway::Stage"
    ]
    assert [made["StageName"] for made in stages] == ["api"]
    assert stages[0]["MethodSettings"][0]["ThrottlingRateLimit"] == {"Ref": "RequestsPerSecond"}
    deployments = [
        made["Properties"]
        for made in resources.values()
        if made["Type"] == "AWS::ApiGateway::Deployment"
    ]
    assert all("StageName" not in made for made in deployments), "a deployment can make a stage too"


def test_the_api_is_named_after_its_stack_so_that_its_metrics_are_its_own(resources: Any) -> None:
    api = resources["RestAPI"]["Properties"]
    assert api["Name"] == api["Body"]["info"]["title"] == {"Ref": "AWS::StackName"}


def test_both_mappings_report_what_they_keep(resources: Any) -> None:
    mappings = [
        made["Properties"]
        for made in resources.values()
        if made["Type"] == "AWS::Lambda::EventSourceMapping"
    ]
    assert [made["FunctionResponseTypes"] for made in mappings] == [["ReportBatchItemFailures"]] * 2
