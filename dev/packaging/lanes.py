"""Put the user's own configuration into a template: lanes, environment, secrets, rights. Pure.

A lane is a copy of the parts of the template that process the orders queue, under names of its own.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Collection
from typing import Any

from chalicelib.config import DEFAULT_LANE, WEBHOOKS_LANE
from dev.packaging import PackageError, webhooks
from dev.packaging.members import Environment, Lane, Sizes
from dev.packaging.own import NAME, Own, merged

# The resources of the default lane, which each other lane has too
PARTS = (
    "OrdersQueue",
    "OrdersQueueOverTLSOnly",
    "OrderWorkerLog",
    "OrderWorkerRole",
    "OrderWorker",
    "OldestMessageAlarm",
    "InFlightAlarm",
    "WorkerErrorsAlarm",
    "WorkerThrottlesAlarm",
)
# What functions beside the worker do to every lane's queue
_ANY_LANE = ("sqs:SendMessage", "sqs:GetQueueAttributes")
# Of a queue's visibility timeout to its worker's timeout, as AWS recommends:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-queueconfig
VISIBILITY_FACTOR = 6
_NUMBERS = {
    "timeout_s": "WorkerTimeout",
    "concurrency": "WorkerConcurrency",
    "batch": "WorkerBatchSize",
}

Json = dict[str, Any]


def logical(lane: str, part: str) -> str:
    """Return the logical name of a part of a lane."""
    return part if lane == DEFAULT_LANE else lane.capitalize() + part


def lanes(names: Collection[str]) -> list[str]:
    """Return the lanes that have a worker and a queue among these logical names."""
    prefixes = [name.removesuffix("OrderWorker") for name in names if name.endswith("OrderWorker")]
    return [
        prefix.lower() or DEFAULT_LANE for prefix in prefixes if f"{prefix}OrdersQueue" in names
    ]


def with_own(template: Json, own: Own) -> Json:
    """Return the template with the user's configuration. Raises PackageError if it does not fit."""
    if own == Own():
        return template
    result: Json = json.loads(json.dumps(template))  # without the aliases of its YAML
    resources = result["Resources"]
    _size_default(result, own.default)
    for name, lane in own.others.items():
        for part in PARTS:
            resources[logical(name, part)] = _copied_part(resources[part], name)
        _size(resources, name, lane)
    _reserve(resources, own)
    if own.others:
        _share_queues(result, [DEFAULT_LANE, *own.others])
    for name, lane in {DEFAULT_LANE: own.default, **own.lanes}.items():
        _give(resources, name, own, lane)
    if own.webhooks is not None:
        _set_rights_of_webhooks(resources, own)
    _set_variables(resources, own)
    _set_parameters(result, own)
    _add_resources(resources, own)
    return result


def _copied_part(part: Json, lane: str) -> Json:
    """Return the copy of a part of the default lane for another one."""
    copied: Json = _renamed(part, lambda name: logical(lane, name) if name in PARTS else name)
    properties = copied["Properties"]
    for member in ("QueueName", "LogGroupName"):
        if member in properties:
            properties[member]["Fn::Sub"] += f"-{lane}"
    if "AlarmDescription" in properties:
        properties["AlarmDescription"] += f" (lane {lane})"
    return copied


def _renamed(value: Any, rename: Callable[[str], str], name: str = "") -> Any:
    """Return a copy whose references name other resources, but for those in variables."""
    if isinstance(value, list):
        return [_renamed(member, rename) for member in value]
    if not isinstance(value, dict):
        return rename(value) if name == "Ref" else value
    if "Fn::GetAtt" in value:
        target, attribute = value["Fn::GetAtt"]
        return {"Fn::GetAtt": [rename(target), attribute]}
    return {
        key: copy.deepcopy(member) if key == "Variables" else _renamed(member, rename, key)
        for key, member in value.items()
    }


def _size(resources: Json, name: str, lane: Sizes) -> None:
    """Set a lane's numbers on its function, mapping and queue."""
    worker = resources[logical(name, "OrderWorker")]["Properties"]
    (mapping,) = worker["Events"].values()
    if lane.timeout_s:
        worker["Timeout"] = lane.timeout_s
        queue = resources[logical(name, "OrdersQueue")]["Properties"]
        queue["VisibilityTimeout"] = VISIBILITY_FACTOR * lane.timeout_s
    if lane.batch:
        mapping["Properties"]["BatchSize"] = lane.batch
    if concurrency := lane.concurrency or lane.reserved:
        mapping["Properties"]["ScalingConfig"] = {"MaximumConcurrency": concurrency}
    worker["Environment"]["Variables"]["LANE"] = name
    _size_function(worker, lane)


def _size_function(worker: Json, lane: Sizes) -> None:
    if lane.memory_mb:
        worker["MemorySize"] = lane.memory_mb
    if lane.storage_mb:
        worker["EphemeralStorage"] = {"Size": lane.storage_mb}


def _size_default(template: Json, lane: Sizes) -> None:
    """Set the default lane's numbers, most of which are parameters of the template."""
    parameters = template["Parameters"]
    for member, parameter in _NUMBERS.items():
        if number := getattr(lane, member):
            parameters[parameter]["Default"] = number
    if lane.reserved and not lane.concurrency:
        parameters["WorkerConcurrency"]["Default"] = lane.reserved
    if lane.timeout_s:
        visibility = max(parameters["Visibility"]["Default"], VISIBILITY_FACTOR * lane.timeout_s)
        parameters["Visibility"]["Default"] = visibility
    _size_function(template["Resources"]["OrderWorker"]["Properties"], lane)


def _reserve(resources: Json, own: Own) -> None:
    """Reserve concurrency for the lanes that ask for it; no lane has another's."""
    for name, lane in {DEFAULT_LANE: own.default, **own.others}.items():
        if lane.reserved:
            worker = resources[logical(name, "OrderWorker")]["Properties"]
            worker["ReservedConcurrentExecutions"] = lane.reserved


def _share_queues(template: Json, lanes: list[str]) -> None:
    """Let who may send to the orders queue send to each lane's; show all on the dashboard."""
    resources = template["Resources"]
    queues = [{"Fn::GetAtt": [logical(lane, "OrdersQueue"), "Arn"]} for lane in lanes]
    for resource in resources.values():
        if resource["Type"] != "AWS::IAM::Role":
            continue
        for policy in resource["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                own_queue = statement["Resource"] in queues
                if own_queue and set(_as_list(statement["Action"])) <= set(_ANY_LANE):
                    statement["Resource"] = queues
    body = resources["Dashboard"]["Properties"]["DashboardBody"]
    body["Fn::Sub"] = _dashboard(body["Fn::Sub"], lanes)


def _dashboard(text: str, lanes: list[str]) -> str:
    """Return the dashboard with the metrics of each lane's queue and worker."""
    body = json.loads(text)
    for widget in body["widgets"]:
        metrics = widget["properties"]["metrics"]
        for lane in lanes[1:]:
            for metric in list(metrics):
                line = json.dumps(metric)
                changed = line.replace("${OrderWorker}", f"${{{logical(lane, 'OrderWorker')}}}")
                changed = changed.replace("${OrdersQueue.", f"${{{logical(lane, 'OrdersQueue')}.")
                if changed != line:
                    metrics.append(json.loads(changed))
    return json.dumps(body)


def _give(resources: Json, name: str, own: Own, lane: Lane) -> None:
    """Give a lane's worker its environment, and its role the rights and the secrets."""
    variables = resources[logical(name, "OrderWorker")]["Properties"]["Environment"]["Variables"]
    environment: Environment = {**own.environment, **lane.environment}
    variables.update(
        (key, value if isinstance(value, dict) else str(value))
        for key, value in environment.items()
    )
    statements = [right.statement() for right in (*own.rights, *lane.rights)]
    if secrets := {**own.secrets, **lane.secrets}:
        parameters = {
            key: parameter or f"/${{AWS::StackName}}/{key}" for key, parameter in secrets.items()
        }
        variables["SECRETS"] = {"Fn::Sub": json.dumps(parameters)}
        statements.append(_reading(parameters))
    if statements:
        role = resources[logical(name, "OrderWorkerRole")]["Properties"]
        document = {"Version": "2012-10-17", "Statement": statements}
        role["Policies"].append({"PolicyName": "own", "PolicyDocument": document})


def _set_rights_of_webhooks(resources: Json, own: Own) -> None:
    """Limit the lane of webhooks to what it needs; let who places orders find the endpoints."""
    webhooks.limit(
        resources[logical(WEBHOOKS_LANE, "OrderWorker")]["Properties"],
        resources[logical(WEBHOOKS_LANE, "OrderWorkerRole")]["Properties"],
        logical(WEBHOOKS_LANE, "OrdersQueue"),
        logical(WEBHOOKS_LANE, "OrderWorkerLog"),
    )
    workers = {logical(name, "OrderWorkerRole") for name in (DEFAULT_LANE, *own.lanes)}
    for role in workers | {"OrderSweeperRole"}:
        webhooks.let_find_endpoints(resources[role]["Properties"])


def _reading(parameters: dict[str, str]) -> Json:
    """Return the right to read these SSM parameters."""
    arn = "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/"
    return {
        "Effect": "Allow",
        "Action": "ssm:GetParameter",
        "Resource": [{"Fn::Sub": arn + name.lstrip("/")} for name in sorted(parameters.values())],
    }


def _set_variables(resources: Json, own: Own) -> None:
    """Tell every function which lanes there are, and whether there are examples."""
    timeouts = ", ".join(
        f'"{name}": {lane.timeout_s or "${WorkerTimeout}"}' for name, lane in own.others.items()
    )
    for resource in resources.values():
        if resource["Type"] != "AWS::Serverless::Function":
            continue
        variables = resource["Properties"]["Environment"]["Variables"]
        if timeouts:
            variables["LANES"] = {"Fn::Sub": f"{{{timeouts}}}"}
        if not own.examples:
            variables["EXAMPLES"] = "off"


def _set_parameters(template: Json, own: Own) -> None:
    parameters = template["Parameters"]
    for name, value in own.parameters.items():
        if name not in parameters:
            known = ", ".join(sorted(parameters))
            raise PackageError(
                f"{NAME}: there is no parameter {name} in the template; it has: {known}"
            )
        number = parameters[name]["Type"] == "Number"
        if number and not str(value).isdigit():
            raise PackageError(
                f"{NAME}: the parameter {name} must be a whole number, not {value!r}"
            )
        parameters[name]["Default"] = int(value) if number else str(value)


def _add_resources(resources: Json, own: Own) -> None:
    for name, resource in own.resources.items():
        if name not in resources and "Type" not in resource:
            raise PackageError(
                f"{NAME}: resources.{name} has no Type, and the template has no such resource"
            )
        resources[name] = merged(resources.get(name, {}), resource)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
