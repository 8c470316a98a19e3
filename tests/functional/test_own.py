"""orderline.yaml: what it changes in the template, and how its mistakes are named."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
import yaml

from dev.packaging import PackageError, own, package
from dev.packaging.lanes import PARTS, lanes, logical, with_own
from dev.packaging.members import Lane, Webhooks
from dev.packaging.template import located
from dev.timings import findings_of_template

EXAMPLE = own.EXAMPLE.read_text()


@functools.cache
def template(stage: str) -> Any:
    """Return the template of a stage without the file."""
    with patch.dict("os.environ", ORDERLINE_YAML="/nonexistent"):
        return package.template(stage)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "orderline.yaml"
    monkeypatch.setenv("ORDERLINE_YAML", str(path))
    return path


def of(file: Path, text: str, stage: str = "dev") -> Any:
    """Return the template of a stage with this file."""
    file.write_text(text)
    return with_own(template("dev"), own.read(stage))


def named(value: Any) -> list[str]:
    """Return the resources that a part refers to, but for those in variables."""
    if isinstance(value, list):
        return [name for member in value for name in named(member)]
    if not isinstance(value, dict):
        return []
    if "Ref" in value or "Fn::GetAtt" in value:
        return [value["Ref"] if "Ref" in value else value["Fn::GetAtt"][0]]
    return [n for key, member in value.items() if key != "Variables" for n in named(member)]


def properties(made: Any, name: str) -> Any:
    return made["Resources"][name]["Properties"]


def worker(made: Any, lane: str = "default") -> Any:
    return properties(made, logical(lane, "OrderWorker"))


def mapping(made: Any, lane: str = "default") -> Any:
    (event,) = worker(made, lane)["Events"].values()
    return event["Properties"]


def uncommented() -> str:
    """Return the example with all that it shows."""
    lines = [re.sub("^# ", "", line) for line in EXAMPLE.splitlines()]
    starts = [
        n for n, line in enumerate(lines) if re.match(r"(lanes|environment|secrets|rights):", line)
    ]
    members = r"(lanes|webhooks|environment|secrets|rights|parameters|resources|examples|stages):| "
    return "\n".join(line for line in lines[starts[0] :] if re.match(members, line))


def uncommented_webhooks() -> str:
    """Return what the example shows of webhooks."""
    (text,) = re.findall(r"^# webhooks:\n(?:#   .*\n)+", EXAMPLE, re.MULTILINE)
    return re.sub("^# ", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize("text", [None, "", "# nothing\n", "lanes: {}\n", "lanes:\nrights:\n"])
def test_without_a_word_in_the_file_the_template_is_the_same_to_the_byte(
    file: Path, text: str | None
) -> None:
    if text is not None:
        file.write_text(text)
    made = with_own(template("dev"), own.read("dev"))
    assert json.dumps(made) == json.dumps(template("dev"))


def test_a_lane_has_every_part_of_its_own(file: Path) -> None:
    made = of(file, "lanes: {heavy: {timeout_s: 300}, express: }\n")
    assert lanes(made["Resources"]) == ["default", "heavy", "express"]
    new = set(made["Resources"]) - set(template("dev")["Resources"])
    assert new == {logical(lane, part) for lane in ("heavy", "express") for part in PARTS}
    # A part names parts of its own lane, but for the settings, and the queues that it may send to
    for name in new:
        others = [part for part in named(made["Resources"][name]) if part in PARTS]
        assert others == ([] if name[-4:] != "Role" else ["OrdersQueue"]), name
    assert properties(made, "HeavyOrdersQueue")["QueueName"] == {
        "Fn::Sub": "${AWS::StackName}-orders-heavy"
    }
    assert properties(made, "HeavyOrderWorkerLog")["LogGroupName"]["Fn::Sub"].endswith(
        "-worker-heavy"
    )


def test_each_function_knows_the_lanes_and_each_worker_its_own(file: Path) -> None:
    made = of(file, "lanes: {heavy: {timeout_s: 300}, express: }\n")
    for name in ("APIHandler", "OrderSweeper", "DeadLetters", "OrderWorker", "HeavyOrderWorker"):
        variables = properties(made, name)["Environment"]["Variables"]
        assert variables["LANES"] == {"Fn::Sub": '{"heavy": 300, "express": ${WorkerTimeout}}'}
        assert variables["QUEUE_URL"] == {"Ref": "OrdersQueue"}
    assert "LANE" not in worker(made)["Environment"]["Variables"]
    assert worker(made, "heavy")["Environment"]["Variables"]["LANE"] == "heavy"


def test_the_numbers_of_a_lane_are_its_function_s_mapping_s_and_queue_s(file: Path) -> None:
    made = of(
        file,
        "lanes: {heavy: {memory_mb: 3008, timeout_s: 300, concurrency: 2, storage_mb: 2048,"
        " batch: 3}, express: {reserved: 20}}\n",
    )
    heavy, express = worker(made, "heavy"), worker(made, "express")
    assert (heavy["MemorySize"], heavy["Timeout"]) == (3008, 300)
    assert heavy["EphemeralStorage"] == {"Size": 2048}
    assert mapping(made, "heavy")["ScalingConfig"] == {"MaximumConcurrency": 2}
    assert mapping(made, "heavy")["BatchSize"] == 3
    assert properties(made, "HeavyOrdersQueue")["VisibilityTimeout"] == 1800
    assert "ReservedConcurrentExecutions" not in heavy
    assert express["ReservedConcurrentExecutions"] == 20
    assert mapping(made, "express")["ScalingConfig"] == {"MaximumConcurrency": 20}
    assert express["Timeout"] == {"Ref": "WorkerTimeout"}
    assert list(findings_of_template(made, {})) == []


def test_the_default_lane_s_numbers_are_the_template_s_parameters(file: Path) -> None:
    made = of(
        file,
        "lanes: {default: {memory_mb: 2048, timeout_s: 100, concurrency: 7, batch: 2}, other: }\n",
    )
    values = {name: made["Parameters"][name]["Default"] for name in made["Parameters"]}
    assert (values["WorkerTimeout"], values["Visibility"]) == (100, 600)
    assert (values["WorkerConcurrency"], values["WorkerBatchSize"]) == (7, 2)
    assert worker(made)["MemorySize"] == worker(made, "other")["MemorySize"] == 2048
    assert list(findings_of_template(made, {})) == []


def test_environment_rights_and_secrets_are_the_workers_and_a_lane_s_are_its_alone(
    file: Path,
) -> None:
    made = of(
        file,
        """
lanes:
  heavy:
    environment: {MODE: slow}
    secrets: {HEAVY_KEY: /shared/key}
    rights: [{Action: s3:GetObject, Resource: !Sub '${Photos.Arn}/*'}]
environment: {PHOTOS: !Ref Photos, LIMIT: 5}
secrets: {STRIPE_KEY: }
rights: [{Action: [sns:Publish], Resource: !GetAtt Topic.Arn, Effect: Allow}]
resources: {Photos: {Type: AWS::S3::Bucket}, Topic: {Type: AWS::SNS::Topic}}
""",
    )
    everyone = worker(made)["Environment"]["Variables"]
    heavy = worker(made, "heavy")["Environment"]["Variables"]
    assert everyone["PHOTOS"] == heavy["PHOTOS"] == {"Ref": "Photos"}
    assert everyone["LIMIT"] == "5"
    assert (heavy["MODE"], "MODE" in everyone) == ("slow", False)
    assert everyone["SECRETS"] == {"Fn::Sub": '{"STRIPE_KEY": "/${AWS::StackName}/STRIPE_KEY"}'}
    assert '"HEAVY_KEY": "/shared/key"' in heavy["SECRETS"]["Fn::Sub"]
    assert "PHOTOS" not in properties(made, "APIHandler")["Environment"]["Variables"]
    everyones = json.dumps(properties(made, "OrderWorkerRole"))
    heavys = json.dumps(properties(made, "HeavyOrderWorkerRole"))
    for text, both in (
        ("sns:Publish", True),
        ("parameter/${AWS::StackName}/STRIPE_KEY", True),
        ("${Photos.Arn}/*", False),
        ("parameter/shared/key", False),
    ):
        assert text in heavys
        assert (text in everyones) is both
    for role in ("ApiHandlerRole", "OrderSweeperRole", "DeadLettersRole"):
        assert "sns:Publish" not in json.dumps(properties(made, role))


def test_the_dashboard_and_the_alarms_show_each_lane(file: Path) -> None:
    made = of(file, "lanes: {heavy: }\n")
    body = properties(made, "Dashboard")["DashboardBody"]["Fn::Sub"]
    for name in ("${HeavyOrderWorker}", "${HeavyOrdersQueue.QueueName}", "${OrderWorker}"):
        assert name in body
    json.loads(body)
    alarms = ("OldestMessageAlarm", "InFlightAlarm", "WorkerErrorsAlarm", "WorkerThrottlesAlarm")
    for alarm in (f"Heavy{name}" for name in alarms):
        assert properties(made, alarm)["AlarmDescription"].endswith("(lane heavy)")
    for alarm in ("HeavyOldestMessageAlarm", "HeavyInFlightAlarm"):
        (dimension,) = properties(made, alarm)["Dimensions"]
        assert dimension["Value"] == {"Fn::GetAtt": ["HeavyOrdersQueue", "QueueName"]}


def test_more_workers_than_are_reserved_are_found(file: Path) -> None:
    made = of(file, "lanes: {default: {reserved: 5, concurrency: 5}}\n")
    assert list(findings_of_template(made, {})) == []
    (finding,) = findings_of_template(made, {"WorkerConcurrency": "50"})
    assert "50 workers may run at once, but only 5 are reserved" in finding.problem


def test_a_resource_of_the_user_s_own_is_no_lane(file: Path) -> None:
    made = of(file, "resources: {MyOrderWorker: {Type: AWS::SNS::Topic}}\n")
    assert lanes(made["Resources"]) == ["default"]
    assert list(findings_of_template(made, {})) == []


def test_a_function_of_the_user_s_own_keeps_its_code(file: Path) -> None:
    own_function = "{Type: AWS::Serverless::Function, Properties: {CodeUri: s3://mine/code.zip}}"
    made = located(of(file, f"resources: {{Mine: {own_function}}}\n"), {"Bucket": "b", "Key": "k"})
    assert properties(made, "Mine")["CodeUri"] == "s3://mine/code.zip"
    assert worker(made)["CodeUri"] == {"Bucket": "b", "Key": "k"}


def test_without_other_lanes_the_dashboard_and_the_rights_stay(file: Path) -> None:
    made = of(file, "environment: {A: 1}\n")
    before = template("dev")
    assert properties(made, "Dashboard") == properties(before, "Dashboard")
    assert properties(made, "ApiHandlerRole") == properties(before, "ApiHandlerRole")


def test_parameters_and_resources_change_the_template(file: Path) -> None:
    made = of(
        file,
        "parameters: {LogDays: 30, CorsOrigins: 'https://a.example'}\n"
        "resources: {OrderSweeper: {Properties: {MemorySize: 768}},"
        " Mine: {Type: AWS::SNS::Topic}}\n",
    )
    assert made["Parameters"]["LogDays"]["Default"] == 30
    assert made["Parameters"]["CorsOrigins"]["Default"] == "https://a.example"
    assert properties(made, "OrderSweeper")["MemorySize"] == 768
    assert properties(made, "OrderSweeper")["Handler"] == "app.order_sweeper"
    assert made["Resources"]["Mine"] == {"Type": "AWS::SNS::Topic"}


def test_a_function_of_cloudformation_replaces_what_the_template_has(file: Path) -> None:
    made = of(
        file,
        """
resources:
  OrderWorker:
    Properties:
      Timeout: !GetAtt Other.Timeout
      Events: {OrderWorkerSqsEventSource: {Properties: {ScalingConfig: !Ref AWS::NoValue}}}
  OrdersQueue:
    Properties: {VisibilityTimeout: {"Fn::ImportValue": visibility}}
""",
    )

    assert mapping(made)["ScalingConfig"] == {"Ref": "AWS::NoValue"}
    assert worker(made)["Timeout"] == {"Fn::GetAtt": ["Other", "Timeout"]}
    visibility = properties(made, "OrdersQueue")["VisibilityTimeout"]
    assert visibility == {"Fn::ImportValue": "visibility"}


def test_a_stage_s_members_are_merged_over_those_of_all(file: Path) -> None:
    text = """
lanes: {heavy: {concurrency: 2, timeout_s: 300}}
environment: {A: one, B: two}
stages:
  prod: {lanes: {heavy: {concurrency: 20}, extra: }, environment: {B: three}, examples: false}
  dev:
"""
    dev, prod = of(file, text), of(file, text, "prod")
    assert lanes(dev["Resources"]) == ["default", "heavy"]
    assert lanes(prod["Resources"]) == ["default", "heavy", "extra"]
    assert mapping(prod, "heavy")["ScalingConfig"] == {"MaximumConcurrency": 20}
    assert worker(prod, "heavy")["Timeout"] == 300
    variables = worker(prod)["Environment"]["Variables"]
    assert (variables["A"], variables["B"], variables["EXAMPLES"]) == ("one", "three", "off")
    assert "EXAMPLES" not in worker(dev)["Environment"]["Variables"]


def test_an_empty_stage_leaves_the_other_stages_whole(file: Path) -> None:
    file.write_text(
        "lanes: {heavy: {timeout_s: 600}}\n"
        "stages: {dev: , prod: {lanes: {heavy: {concurrency: 20}, default: {timeout_s: 300}}}}\n"
    )
    prod = own.read("prod")
    assert (prod.lanes["heavy"].timeout_s, prod.lanes["heavy"].concurrency) == (600, 20)
    assert own.default_timeout_s(prod, {"WORKER_TIMEOUT_S": "100"}) == 300


def test_a_stage_that_only_the_file_names_can_be_packaged(file: Path) -> None:
    file.write_text("stages: {review: {parameters: {LogDays: 1}}}\n")
    assert "review" in package.stages()
    assert package.template("review")["Parameters"]["LogDays"]["Default"] == 1


def test_the_commented_example_is_valid(file: Path) -> None:
    assert yaml.safe_load(EXAMPLE) is None
    made = of(file, uncommented(), "prod")
    assert lanes(made["Resources"]) == ["default", "heavy", "express", "webhooks"]
    assert mapping(made, "heavy")["ScalingConfig"] == {"MaximumConcurrency": 20}
    assert of(file, "webhooks: {}\n") == of(file, uncommented_webhooks()), "it shows the defaults"
    for struct in (own.Own, Lane):  # it shows every member
        for member in msgspec.structs.fields(struct):
            assert re.search(rf"^[# ]*{member.name}:|, {member.name}", EXAMPLE, re.MULTILINE)


def test_the_file_is_created_once_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "orderline.yaml"
    own.create(path)
    assert path.read_text() == EXAMPLE
    with pytest.raises(PackageError, match=r"orderline\.yaml exists already"):
        own.create(path)


@pytest.mark.parametrize("text", ["webhooks: {}\n", "webhooks:\n", "webhooks: {batch: }\n"])
def test_webhooks_have_a_lane_of_their_own_with_numbers_that_do_not_follow_the_default_lane_s(
    file: Path, text: str
) -> None:
    other = "lanes: {default: {memory_mb: 2048, timeout_s: 90, batch: 5, storage_mb: 2048}}\n"
    made = of(file, text + other)
    assert lanes(made["Resources"]) == ["default", "webhooks"]
    new = set(made["Resources"]) - set(template("dev")["Resources"])
    assert new == {logical("webhooks", part) for part in PARTS}
    function = worker(made, "webhooks")
    assert (function["MemorySize"], function["Timeout"]) == (256, 20)
    assert function["EphemeralStorage"] == {"Size": 512}
    assert mapping(made, "webhooks")["ScalingConfig"] == {"MaximumConcurrency": 10}
    assert mapping(made, "webhooks")["BatchSize"] == 1
    assert properties(made, "WebhooksOrdersQueue")["VisibilityTimeout"] == 120
    assert list(findings_of_template(made, {})) == []


def test_the_lane_of_webhooks_is_on_the_dashboard_and_known_to_every_function(file: Path) -> None:
    made = of(file, "webhooks: {}\nlanes: {heavy: {timeout_s: 300}}\n")
    assert "${WebhooksOrderWorker}" in properties(made, "Dashboard")["DashboardBody"]["Fn::Sub"]
    alarm = properties(made, "WebhooksOldestMessageAlarm")
    assert alarm["AlarmDescription"].endswith("(lane webhooks)")
    for name in ("APIHandler", "OrderSweeper", "DeadLetters", "OrderWorker", "WebhooksOrderWorker"):
        variables = properties(made, name)["Environment"]["Variables"]
        assert variables["LANES"] == {"Fn::Sub": '{"heavy": 300, "webhooks": 20}'}
    everyones = worker(made)["Environment"]["Variables"]
    assert worker(made, "webhooks")["Environment"]["Variables"] == {**everyones, "LANE": "webhooks"}
    assert own.variables_of("dev")["LANES"] == '{"heavy": 300, "webhooks": 20}'


def test_the_numbers_of_webhooks_can_be_set(file: Path) -> None:
    made = of(
        file,
        "webhooks: {memory_mb: 512, timeout_s: 30, reserved: 40, batch: 2, storage_mb: 1024}\n",
    )
    function = worker(made, "webhooks")
    assert (function["MemorySize"], function["Timeout"]) == (512, 30)
    assert function["EphemeralStorage"] == {"Size": 1024}
    assert function["ReservedConcurrentExecutions"] == 40
    assert mapping(made, "webhooks")["ScalingConfig"] == {"MaximumConcurrency": 40}
    assert mapping(made, "webhooks")["BatchSize"] == 2
    assert properties(made, "WebhooksOrdersQueue")["VisibilityTimeout"] == 180


def spilling(spill_bytes: int | str) -> Any:
    """Return the template with the setting of a stage's file."""
    properties = {"Environment": {"Variables": {"SPILL_BYTES": spill_bytes}}}
    over = {"Resources": {"OrderWorker": {"Properties": properties}}}
    return own.merged(template("dev"), over)


@pytest.mark.parametrize("spill_bytes", [511, "511"])
def test_with_webhooks_no_small_input_may_be_in_the_bucket(spill_bytes: int | str) -> None:
    on = own.Own(webhooks=Webhooks())
    with pytest.raises(PackageError, match=r"SPILL_BYTES is 511; .* must be at least 512"):
        with_own(spilling(spill_bytes), on)
    assert with_own(spilling(512), on)
    assert with_own(spilling(spill_bytes), own.Own())


def test_a_stage_can_have_webhooks_and_numbers_of_its_own(file: Path) -> None:
    only_prod = "stages: {prod: {webhooks: }}\n"
    assert lanes(of(file, only_prod)["Resources"]) == ["default"]
    assert lanes(of(file, only_prod, "prod")["Resources"]) == ["default", "webhooks"]
    both = "webhooks: {concurrency: 2}\nstages: {prod: {webhooks: {concurrency: 50}}}\n"
    for stage, concurrency in (("dev", 2), ("prod", 50)):
        scaling = mapping(of(file, both, stage), "webhooks")["ScalingConfig"]
        assert scaling == {"MaximumConcurrency": concurrency}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webhooks: false", "webhooks: Expected `object`, got `bool`; .* there are no webhooks"),
        ("webhooks: true", r"webhooks: Expected `object`, got `bool`; `webhooks: {}` is enough"),
        ("webhooks: {rights: []}", "webhooks: .*`rights`; the members are .*memory_mb"),
        ("webhooks: {secrets: {A: }}", "webhooks: .*unknown field `secrets`"),
        ("webhooks: {environment: {A: b}}", "webhooks: .*unknown field `environment`"),
        ("webhooks: {timeout_s: 14}", "webhooks.timeout_s: must be from 15 to 900"),
        ("webhooks: {concurrency: 1}", "webhooks.concurrency: must be from 2 to 1000"),
        ("webhooks: {reserved: 5, concurrency: 9}", "yaml: webhooks: reserved is 5, below the"),
        ("lanes: {webhooks: }", "lanes.webhooks: .*another name, or .* under `webhooks:`"),
        ("webhooks: {}\nlanes: {webhooks: }", "lanes.webhooks: the name is that of the built-in"),
        ("stages: {prod: {webhooks: {batch: 0}}}", "stage prod: webhooks.batch: must be from 1"),
        ("lane: {heavy: }", "unknown field `lane`; the members are lanes, environment, secrets"),
        ("lanes: {heavy: {memory: 3008}}", "lanes.heavy: .*`memory`; the members are memory_mb,"),
        ("lanes: {heavy: {memory_mb: 64}}", "lanes.heavy.memory_mb: must be from 128 to 10240"),
        ("lanes: {heavy: {timeout_s: 901}}", "lanes.heavy.timeout_s: must be from 3 to 900"),
        ("lanes: {heavy: {concurrency: 1}}", "lanes.heavy.concurrency: must be from 2 to 1000"),
        ("lanes: {heavy: {timeout_s: ten}}", "lanes.heavy.timeout_s: must be from 3 to 900"),
        ("lanes: {Heavy: }", "the lane 'Heavy': a name has at most 20 lowercase letters"),
        ("lanes: [heavy]", "lanes: Expected `object`, got `array`"),
        ("lanes: {heavy: {concurrency: 9, reserved: 5}}", "reserved is 5, below the concurrency"),
        ("environment: {STACK: x}", "STACK is a setting of Orderline"),
        ("environment: {'A B': x}", "'A B' can't be the name of a variable"),
        ("secrets: {'A-B': }", "'A-B' can't be the name of a variable"),
        ("secrets: [A]", "secrets: Expected `object"),
        (
            "lanes: {a: {secrets: {K: /a}}, b: {secrets: {K: /b}}}",
            "the secret K has two parameters",
        ),
        ("rights: [{Action: s3:GetObject}]", "missing required field `Resource`"),
        ("rights: [{Action: a, Resource: b, Effect: Maybe}]", "Effect"),
        ("stages: [prod]", "`stages` must map the names of stages"),
        ("stages: {prod: {lanes: {heavy: {batch: 11}}}}", "stage prod: lanes.heavy.batch: must be"),
        ("lanes: {", "can't be read: .*line 1"),
        ("environment: {A: !Reff Photos}", "!Reff is not a function of CloudFormation"),
        ("- lanes", "Expected `object`, got `array`"),
        ("parameters: {LogDay: 3}", "no parameter LogDay in the template; it has: .*LogDays"),
        ("parameters: {LogDays: many}", "LogDays must be a whole number, not 'many'"),
        ("resources: {OrderWorkr: {Properties: {}}}", "OrderWorkr has no Type"),
    ],
)
def test_a_mistake_names_the_file_the_member_and_what_it_may_be(
    file: Path, text: str, message: str
) -> None:
    with pytest.raises(PackageError, match=message) as error:
        of(file, text)
    assert "orderline.yaml" in str(error.value)
