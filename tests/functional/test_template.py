"""The packaged template: the relations between its values that keep orders safe."""

from __future__ import annotations

import copy
import functools
import io
import json
import os
import re
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chalicelib import config, metrics, tasks
from dev.deploy import growth
from dev.deploy.deploy import summary
from dev.deploy.stack import Change, ChangeSet
from dev.packaging import PackageError, package
from dev.packaging.template import MAX_STAGE, data_names, stage_mistake
from dev.timings import Timings

STAGES = ("dev", "prod")
template = functools.cache(package.template)
each_stage = pytest.mark.parametrize("stage", STAGES)


def resources(stage: str, kind: str) -> dict[str, Any]:
    matches = {
        name: resource
        for name, resource in template(stage)["Resources"].items()
        if resource["Type"] == kind
    }
    assert matches, f"no {kind} in {stage}"
    return matches


def functions(stage: str) -> dict[str, Any]:
    return {
        name: resource["Properties"]
        for name, resource in resources(stage, "AWS::Serverless::Function").items()
    }


def queue(stage: str, name: str) -> Any:
    return template(stage)["Resources"][name]["Properties"]


@each_stage
def test_tables_expire_final_rows_can_be_restored_and_are_encrypted_with_the_free_key(
    stage: str,
) -> None:
    tables = resources(stage, "AWS::DynamoDB::Table")
    assert set(tables) == {"OrdersTable", "TokensTable"}
    for table in tables.values():
        assert table["Properties"]["PointInTimeRecoverySpecification"] == {
            "PointInTimeRecoveryEnabled": True
        }
        # A key of KMS's own would be charged
        assert "SSESpecification" not in table["Properties"]
        assert table["Properties"]["BillingMode"] == "PAY_PER_REQUEST"
    ttl = tables["OrdersTable"]["Properties"]["TimeToLiveSpecification"]
    assert ttl == {"AttributeName": "expires_at", "Enabled": True}


def test_prod_keeps_its_tables_and_dev_deletes_them() -> None:
    for stage, policy, protected in (("dev", "Delete", "false"), ("prod", "Retain", "true")):
        for table in resources(stage, "AWS::DynamoDB::Table").values():
            assert table["DeletionPolicy"] == policy
            # A mistake in the schema must not empty a table anywhere
            assert table["UpdateReplacePolicy"] == "Retain"
            assert table["Properties"]["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}
        assert template(stage)["Parameters"]["DeletionProtection"]["Default"] == protected


@each_stage
def test_the_indexes_have_their_keys_and_project_only_some_attributes(stage: str) -> None:
    indexes = {
        index["IndexName"]: index for index in queue(stage, "OrdersTable")["GlobalSecondaryIndexes"]
    }
    keys = {
        name: [key["AttributeName"] for key in index["KeySchema"]]
        for name, index in indexes.items()
    }
    assert keys == {"by_time": ["time_shard", "time_key"], "by_due": ["check_shard", "check_at"]}
    # A whole row in an index would double the cost of each of its writes
    assert all(index["Projection"]["ProjectionType"] != "ALL" for index in indexes.values())


@each_stage
def test_times_and_counts_fit_each_other(stage: str) -> None:
    timings = Timings.of_template(template(stage), {})
    assert list(timings.findings()) == []
    assert timings.visibility_s >= 6 * timings.worker_timeout_s
    assert timings.max_receives > max(task.max_attempts for task in tasks.known().values())
    assert timings.dead_retention_s == 14 * 86400 > timings.retention_s


@each_stage
def test_the_longest_run_and_the_longest_backoff_are_within_sqs_twelve_hours(
    stage: str,
) -> None:
    parameters = template(stage)["Parameters"]
    assert parameters["WorkerTimeout"]["MaxValue"] + config.MAX_VISIBILITY_S < 12 * 3600
    assert parameters["Visibility"]["MaxValue"] == config.MAX_VISIBILITY_S


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"visibility_s": 359}, "Visibility=360"),
        ({"max_receives": 5, "most_attempts": 5}, "MaxReceives="),
        ({"longest_task_s": 60}, "WorkerTimeout"),
        ({"dead_retention_s": 345600}, "DeadQueue"),
        ({"file_days": 11}, "FileDays"),
        ({"max_age_s": 5 * 86400}, "FileDays"),
        ({"order_retention_s": 7 * 86400 + 1}, "FileDays"),
    ],
)
def test_a_broken_relation_is_found_and_has_a_hint(values: dict[str, Any], message: str) -> None:
    broken = replace(Timings.of_template(template("dev"), {}), **values)
    (finding,) = broken.findings()
    assert message in finding.fix


def test_a_stages_own_limits_of_orders_are_compared_with_the_days_of_files() -> None:
    longer = copy.deepcopy(template("dev"))
    worker = longer["Resources"]["OrderWorker"]["Properties"]
    worker["Environment"]["Variables"]["RETENTION_S"] = "2592000"
    (finding,) = Timings.of_template(longer, {}).findings()
    assert "FILE_DAYS=12: must be at least 35" in finding.problem
    assert list(Timings.of_template(longer, {"FileDays": "35"}).findings()) == []


@each_stage
def test_the_bucket_is_private_encrypted_and_owned_by_the_account_alone(stage: str) -> None:
    (bucket,) = resources(stage, "AWS::S3::Bucket").values()
    properties = bucket["Properties"]
    assert properties["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert properties["OwnershipControls"] == {
        "Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]
    }
    (rule,) = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    # Each call of KMS would be billed
    assert rule == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


@each_stage
def test_the_bucket_refuses_requests_without_tls(stage: str) -> None:
    (policy,) = resources(stage, "AWS::S3::BucketPolicy").values()
    assert policy["Properties"]["Bucket"] == {"Ref": "FilesBucket"}
    (deny,) = policy["Properties"]["PolicyDocument"]["Statement"]
    assert deny == {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [
            {"Fn::GetAtt": ["FilesBucket", "Arn"]},
            {"Fn::Sub": "${FilesBucket.Arn}/*"},
        ],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }


@each_stage
def test_files_are_deleted_after_the_days_that_the_functions_know(stage: str) -> None:
    (bucket,) = resources(stage, "AWS::S3::Bucket").values()
    (rule,) = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule == {
        "Id": "expire",
        "Status": "Enabled",
        "ExpirationInDays": {"Ref": "FileDays"},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
    }
    for name, function in functions(stage).items():
        variables = function["Environment"]["Variables"]
        assert variables["FILE_DAYS"] == {"Ref": "FileDays"}, name
        assert variables["BUCKET"] == {"Ref": "FilesBucket"}, name


def test_prod_keeps_its_files_and_dev_deletes_them() -> None:
    for stage, policy in (("dev", "Delete"), ("prod", "Retain")):
        (bucket,) = resources(stage, "AWS::S3::Bucket").values()
        assert bucket["DeletionPolicy"] == policy
        assert bucket["UpdateReplacePolicy"] == "Retain"


def test_the_bucket_of_the_longest_stage_and_region_has_63_characters() -> None:
    values = {
        "AWS::StackName": f"orderline-{'s' * MAX_STAGE}",
        "AWS::AccountId": "123456789012",
        "AWS::Region": "us-isof-south-1",
    }
    name = data_names(template("dev"), values)["FilesBucket"]
    assert (len(name), name.islower()) == (63, True)


def test_a_bucket_without_a_name_is_not_among_the_names_of_the_template() -> None:
    """CloudFormation names the user's own bucket, so no one can look for it before a deploy."""
    changed = copy.deepcopy(template("dev"))
    names = data_names(changed, {})
    bucket = {"Type": "AWS::S3::Bucket"}
    table = {"Type": "AWS::DynamoDB::Table", "Properties": {"TableName": {"Ref": "Name"}}}
    changed["Resources"] |= {"Photos": bucket, "Albums": table}

    assert data_names(changed, {}) == names


@pytest.mark.parametrize("stage", ["s" * 19, "Test", "my_stage"])
def test_a_stage_that_gives_no_name_of_a_bucket_is_refused(stage: str) -> None:
    assert "at most 18 lowercase letters" in stage_mistake(stage, [stage])
    assert stage_mistake("s" * 18, ["s" * 18]) == ""


@each_stage
def test_queues_use_those_parameters_and_are_encrypted_with_the_free_key(stage: str) -> None:
    orders = queue(stage, "OrdersQueue")
    dead = queue(stage, "DeadQueue")
    assert orders["VisibilityTimeout"] == dead["VisibilityTimeout"] == {"Ref": "Visibility"}
    assert orders["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": ["DeadQueue", "Arn"]},
        "maxReceiveCount": {"Ref": "MaxReceives"},
    }
    for properties in (orders, dead):
        assert properties["SqsManagedSseEnabled"] is True  # the key that SQS owns is free
        # Each call of KMS is billed, even with the key alias/aws/sqs
        assert "KmsMasterKeyId" not in properties


@each_stage
def test_each_queue_has_its_own_policy_since_sqs_refuses_a_statement_with_two_resources(
    stage: str,
) -> None:
    policies = [
        policy["Properties"] for policy in resources(stage, "AWS::SQS::QueuePolicy").values()
    ]
    assert sorted(policy["Queues"][0]["Ref"] for policy in policies) == ["DeadQueue", "OrdersQueue"]
    for policy in policies:
        (queue_name,) = policy["Queues"]
        (deny,) = policy["PolicyDocument"]["Statement"]
        assert deny == {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "sqs:*",
            "Resource": {"Fn::GetAtt": [queue_name["Ref"], "Arn"]},
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }


@each_stage
def test_every_mapping_reports_partial_batch_failures(stage: str) -> None:
    by_name = functions(stage)
    events = [
        event["Properties"]
        for function in by_name.values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    ]
    assert [event["Queue"]["Fn::GetAtt"][0] for event in events] == ["DeadQueue", "OrdersQueue"]
    assert all(event["FunctionResponseTypes"] == ["ReportBatchItemFailures"] for event in events)
    assert events[1]["BatchSize"] == {"Ref": "WorkerBatchSize"}
    assert events[1]["ScalingConfig"] == {"MaximumConcurrency": {"Ref": "WorkerConcurrency"}}
    assert template(stage)["Parameters"]["WorkerBatchSize"]["Default"] == 1
    # The visibility timeout of both queues depends on the worker's timeout
    timeouts = [by_name[name]["Timeout"] for name in ("OrderWorker", "DeadLetters")]
    assert timeouts == [{"Ref": "WorkerTimeout"}] * 2


@each_stage
def test_every_function_requires_tokens_is_traced_and_has_a_log_that_expires(stage: str) -> None:
    groups = resources(stage, "AWS::Logs::LogGroup")
    assert all(
        group["Properties"]["RetentionInDays"] == {"Ref": "LogDays"} for group in groups.values()
    )
    log_groups = set()
    for name, function in functions(stage).items():
        assert function["Environment"]["Variables"]["ACCESS"] == "token", name
        assert function["Tracing"] == "Active", name
        assert function["Architectures"] == ["arm64"], name
        log_groups.add(function["LoggingConfig"]["LogGroup"]["Ref"])
    assert log_groups == set(groups), "one group for each function, none without"


@each_stage
def test_every_function_has_the_dns_suffix_of_its_partition(stage: str) -> None:
    """Pass it on: in China, the sovereign cloud and isolated regions it is not amazonaws.com."""
    for name, function in functions(stage).items():
        assert function["Environment"]["Variables"]["DNS_SUFFIX"] == {"Ref": "AWS::URLSuffix"}, name


@each_stage
def test_no_partition_or_domain_is_hard_coded(stage: str) -> None:
    """Ignore the principals of services, which are the same in every partition."""
    text = json.dumps(template(stage))
    principals = re.findall(r'"(?:Service|Principal)": "[a-z]+\.amazonaws\.com"', text)
    fronts = 2  # the REST API and the HTTP API may call the HTTP function
    assert len(principals) == len(functions(stage)) + fronts == text.count("amazonaws.com")
    assert "arn:aws" not in text


@each_stage
def test_the_api_is_regional_and_traced(stage: str) -> None:
    (api,) = resources(stage, "AWS::Serverless::Api").values()
    assert (api["Properties"]["EndpointConfiguration"], api["Properties"]["TracingEnabled"]) == (
        "REGIONAL",
        True,
    )


@each_stage
def test_alarms_watch_published_metrics_and_notify_the_topic(stage: str) -> None:
    alarms = resources(stage, "AWS::CloudWatch::Alarm")
    watched = {
        (alarm["Properties"]["Namespace"], alarm["Properties"]["MetricName"])
        for alarm in alarms.values()
    }
    assert watched == {
        ("AWS/SQS", "ApproximateAgeOfOldestMessage"),
        ("AWS/SQS", "ApproximateNumberOfMessagesNotVisible"),
        ("AWS/Lambda", "Errors"),
        ("AWS/Lambda", "Throttles"),
        ("Orderline", "largest_overdue_s"),
        ("Orderline", "dead_letters"),
        ("Orderline", "http_failures"),
    }
    ours = {name for own in metrics.EVENTS.values() for _, units in own for name in units}
    assert {name for space, name in watched if space == "Orderline"} <= ours
    for alarm in alarms.values():
        assert alarm["Properties"]["AlarmActions"]["Fn::If"][:2] == [
            "HasAlarmTopic",
            [{"Ref": "AlarmTopic"}],
        ]
    failing = {
        alarm["Properties"]["Dimensions"][0]["Value"].get("Ref")
        for alarm in alarms.values()
        if alarm["Properties"]["MetricName"] == "Errors"
    }
    assert failing == set(functions(stage))


@each_stage
def test_the_dashboard_has_only_published_metrics(stage: str) -> None:
    (dashboard,) = resources(stage, "AWS::CloudWatch::Dashboard").values()
    # Dashboards are global: without the region in its name, another region would overwrite it
    assert dashboard["Properties"]["DashboardName"] == {
        "Fn::Sub": "${AWS::StackName}-${AWS::Region}"
    }
    text = dashboard["Properties"]["DashboardBody"]["Fn::Sub"]
    ours = {name for own in metrics.EVENTS.values() for _, units in own for name in units}
    names = re.findall(r'"Orderline", "(\w+)"', text) + re.findall(r'MetricName=\\"(\w+)', text)
    assert len(json.loads(text)["widgets"]) == 6
    assert len(names) >= 8
    assert set(names) <= ours


def test_an_unknown_stage_or_resource_is_refused() -> None:
    with pytest.raises(PackageError, match="dev, prod"):
        package.template("staging")
    with pytest.raises(PackageError, match="/Resources/OrderTable"):
        package._merged({"Resources": {"OrdersTable": {}}}, {"Resources": {"OrderTable": {}}})


def test_lambda_can_read_the_zip_for_any_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        path = package._packaged("dev", tmp_path) / "deployment.zip"
    finally:
        os.umask(before)
    assert modes(path) == modes(io.BytesIO(package.refreshed(path))) == {0o644}


def test_executable_files_stay_executable(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as opened:
        package._add(opened, "plain", b"", 0o100600)
        package._add(opened, "program", b"", 0o100700)
        package._add(opened, "folder/", b"", 0o040700)
    assert modes(tmp_path / "code.zip") == {0o644, 0o755}


def modes(file: Any) -> set[int]:
    with zipfile.ZipFile(file) as opened:
        return {(entry.external_attr >> 16) & 0o777 for entry in opened.infolist()}


@each_stage
def test_every_function_knows_the_partitions(stage: str) -> None:
    functions = resources(stage, "AWS::Serverless::Function").values()
    variables = [each["Properties"]["Environment"]["Variables"] for each in functions]
    assert len(variables) == 4
    for each in variables:
        assert each["DUE_SHARDS"] == {"Ref": "DueShards"}
        assert each["LIST_SHARDS"] == {"Ref": "ListShards"}
    parameter = template(stage)["Parameters"]["DueShards"]
    assert (parameter["Default"], parameter["MinValue"]) == (config.Settings().due_shards, 1)
    assert parameter["MaxValue"] == config.MAX_DUE_SHARDS


@pytest.mark.parametrize(
    ("parameters", "hidden"),
    [
        ({"DueShards": ("8", "4")}, "DueShards may only grow: the stack has 8 partitions"),
        ({"ListShards": ("10", "9")}, "ListShards may only grow: the stack has 10 partitions"),
        ({"DueShards": ("4", "256"), "LogDays": ("30", "14")}, None),
        ({"DueShards": (None, "4")}, None),
        ({}, None),
    ],
)
def test_a_deploy_never_hides_partitions(
    parameters: dict[str, tuple[str | None, str]], hidden: str | None
) -> None:
    refusal = growth.refusal(parameters)
    assert (refusal and refusal.partition(",")[0]) == hidden


@pytest.mark.parametrize("action", ["Import", "Add"])
def test_an_adoption_warns_of_partitions_that_the_tables_may_have(action: str) -> None:
    table = Change(action, "OrdersTable", "AWS::DynamoDB::Table", "False")
    parameters: Any = {"DueShards": (None, "16")}
    changes = ChangeSet("s", "c", True, (table,), template("dev"), parameters)

    warned = "no more partitions than DueShards=16 and ListShards=1;" in summary(changes, "here")
    assert warned is (action == "Import")


def test_the_laptop_has_as_many_partitions_as_its_functions() -> None:
    assert growth.settings(template("dev")) == {"DUE_SHARDS": "4", "LIST_SHARDS": "1"}


@pytest.mark.parametrize(("before", "warns"), [("30", True), ("12", False), (None, False)])
def test_the_summary_warns_that_fewer_days_delete_files(before: str | None, warns: bool) -> None:
    changes = ChangeSet("s", "c", before is None, (), {}, {"FileDays": (before, "12")})
    assert ("S3 deletes older files" in summary(changes, "here")) is warns
