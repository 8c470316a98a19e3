"""`python -m dev doctor`: check a running stack and report problems with their fixes. Read-only."""

from __future__ import annotations

import json
from collections.abc import Iterator

from chalicelib.config import DEFAULT_LANE, DEFAULTS
from dev.deploy import data
from dev.stack_state import BLOCKED, StackState, read_state
from dev.timings import Finding, Timings

_REDEPLOY = "deploy again: make deploy STAGE=..."


def examine(name: str) -> list[Finding]:
    """Return all findings, the most severe first. Raises StackError if there is no such stack."""
    state = read_state(name)
    checks = (
        _ignored_batch_failures,
        _disabled_mappings,
        _open_access,
        _timings,
        _missing_dead_letter_queue,
        _missing_bucket,
        _public_bucket,
        _lifecycle,
        _too_many_workers,
        _unlimited_url,
        _missing_secrets,
        _disabled_ttl,
        _missing_tokens,
        _unlimited_logs,
        _alarms_without_topic,
    )
    # Some are the same for all lanes
    return list(dict.fromkeys(finding for check in checks for finding in check(state)))


def _ignored_batch_failures(state: StackState) -> Iterator[Finding]:
    for name, mapping in state.mappings.items():
        if mapping and "ReportBatchItemFailures" not in mapping.get("FunctionResponseTypes", []):
            yield Finding(
                f"the mapping of {name} ignores batchItemFailures: messages that should be"
                " delivered again are lost, since Lambda deletes them",
                f"aws lambda update-event-source-mapping --uuid {mapping['UUID']}"
                " --function-response-types ReportBatchItemFailures",
            )


def _disabled_mappings(state: StackState) -> Iterator[Finding]:
    for name, mapping in state.mappings.items():
        if mapping is None:
            yield Finding(f"{name} has no event source mapping", _REDEPLOY)
        elif mapping["State"] not in ("Enabled", "Enabling", "Creating", "Updating"):
            yield Finding(
                f"the mapping of {name} is {mapping['State']}: its queue only grows",
                f"aws lambda update-event-source-mapping --uuid {mapping['UUID']} --enabled",
            )


def _open_access(state: StackState) -> Iterator[Finding]:
    for name, function in state.functions.items():
        if function["Environment"]["Variables"].get("ACCESS") != "token":
            yield Finding(
                f"{name} is not set to ACCESS=token: it does not start, or requires no token",
                _REDEPLOY,
            )


def _timings(state: StackState) -> Iterator[Finding]:
    for lane, name in state.workers.items():
        orders = state.queues[name]
        worker = state.functions[name]
        receives = json.loads(orders.get("RedrivePolicy", "{}")).get("maxReceiveCount", 1000)
        variables = worker["Environment"]["Variables"]
        yield from Timings.of_stack(
            worker["Timeout"],
            variables,
            orders,
            state.queues["DeadLetters"],
            int(receives),
            _concurrency(state, name),
            state.reserved.get(name),
        ).findings()
        setting = "WORKER_TIMEOUT_S" if lane == DEFAULT_LANE else "LANES"
        known = {DEFAULT_LANE: variables.get("WORKER_TIMEOUT_S")}
        known.update(json.loads(variables.get("LANES", "{}")))
        if str(worker["Timeout"]) != str(known.get(lane)):
            yield Finding(
                f"the timeout of {name} is {worker['Timeout']} s,"
                f" but its {setting} is {known.get(lane)}",
                _REDEPLOY,
            )


def _missing_dead_letter_queue(state: StackState) -> Iterator[Finding]:
    for lane, name in state.workers.items():
        if "RedrivePolicy" not in state.queues[name]:
            queue = "orders queue" if lane == DEFAULT_LANE else f"queue of the lane {lane}"
            yield Finding(
                f"the {queue} has no dead-letter queue: failing messages are redelivered until they"
                " expire",
                _REDEPLOY,
            )


def _missing_bucket(state: StackState) -> Iterator[Finding]:
    if state.bucket is None:
        yield Finding("the stack has no bucket: no order can have a file", _REDEPLOY)
    elif not state.bucket.exists:
        yield Finding(
            f"the bucket {state.bucket.name} does not exist: no file can be uploaded or read",
            "make destroy STAGE=..., then make deploy STAGE=... ADOPT=1, which creates it; a stage"
            " that retains its tables keeps its orders",
        )


def _public_bucket(state: StackState) -> Iterator[Finding]:
    if state.bucket and state.bucket.exists and not state.bucket.blocked:
        settings = ",".join(f"{name}=true" for name in BLOCKED)
        yield Finding(
            f"the bucket {state.bucket.name} does not block public access",
            f"aws s3api put-public-access-block --bucket {state.bucket.name}"
            f" --public-access-block-configuration {settings}",
        )


def _lifecycle(state: StackState) -> Iterator[Finding]:
    """Compare with FILE_DAYS, for which the app trusts that files exist."""
    bucket = state.bucket
    if bucket is None or not bucket.exists:
        return
    variables = state.functions["APIHandler"]["Environment"]["Variables"]
    file_days = int(variables.get("FILE_DAYS", DEFAULTS.file_days))
    fix = (
        f"aws s3api put-bucket-lifecycle-configuration --bucket {bucket.name}"
        f" --lifecycle-configuration '{json.dumps(data.lifecycle(file_days))}'"
    )
    if bucket.days is None:
        yield Finding("files are stored, and billed, forever: the bucket has no lifecycle", fix)
    elif bucket.days < file_days:
        yield Finding(
            f"S3 deletes files after {bucket.days} days, but FILE_DAYS is {file_days}: accepted"
            " orders lose their files",
            fix,
        )


def _concurrency(state: StackState, worker: str) -> int:
    """Return the maximum of workers at once; 0 if the mapping has none."""
    scaling = (state.mappings[worker] or {}).get("ScalingConfig", {})
    return int(scaling.get("MaximumConcurrency", 0))


def _too_many_workers(state: StackState) -> Iterator[Finding]:
    names = [name for name in state.workers.values() if name not in state.reserved]
    workers = sum(_concurrency(state, name) for name in names)
    if workers >= state.concurrency:
        yield Finding(
            f"the account runs at most {state.concurrency} functions at once, and {workers} workers"
            " may take them all: HTTP requests are throttled meanwhile",
            "make deploy STAGE=... SET=WorkerConcurrency=... with a smaller number, a smaller"
            " concurrency of a lane, or request a higher limit: aws service-quotas"
            " request-service-quota-increase --service-code lambda --quota-code L-B99A9384"
            " --desired-value 1000",
        )


def _unlimited_url(state: StackState) -> Iterator[Finding]:
    if state.front == "url" and "APIHandler" not in state.reserved:
        yield Finding(
            "the function URL has no throttle: a flood of requests is billed, and takes the"
            " concurrency of the workers",
            'make deploy STAGE=... SET="Front=url ApiReserved=..." with the most requests at once',
        )


def _missing_secrets(state: StackState) -> Iterator[Finding]:
    for name, parameter in state.missing_secrets:
        yield Finding(
            f"the secret {name} is not stored (SSM parameter {parameter}): tasks that use it fail",
            f"python -m dev secret set {name} --stage ..., with the stage of {state.name}",
        )


def _disabled_ttl(state: StackState) -> Iterator[Finding]:
    if state.ttl not in ("ENABLED", "ENABLING"):
        yield Finding(
            "the orders table's TTL is off: final orders are stored, and billed, forever",
            f"aws dynamodb update-time-to-live --table-name {state.name}-orders"
            " --time-to-live-specification Enabled=true,AttributeName=expires_at",
        )


def _missing_tokens(state: StackState) -> Iterator[Finding]:
    if state.tokens == 0:
        yield Finding(
            "there is no access token: no client can place an order",
            f"python -m dev token create --stack {state.name} OWNER",
        )


def _unlimited_logs(state: StackState) -> Iterator[Finding]:
    for name, days in state.retentions.items():
        if days is None:
            yield Finding(f"the log of {name} is stored, and billed, forever", _REDEPLOY)


def _alarms_without_topic(state: StackState) -> Iterator[Finding]:
    if state.alarms_without_a_topic:
        yield Finding(
            f"{state.alarms_without_a_topic} alarms notify nobody",
            "make deploy STAGE=... SET=AlarmTopic=ARN",
        )
