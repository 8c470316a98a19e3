"""What `make verify-aws` makes of what AWS alone writes, and the local cloud doesn't."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dev.doctor import (
    _alarms_without_topic,
    _disabled_mappings,
    _too_many_workers,
    _unlimited_url,
)
from dev.stack_state import StackState
from dev.verify.aws_checks import is_tolerated
from dev.verify.checks import FRONTS, Check
from dev.verify.verify import all_checks, run, summarized
from dev.verify.visitor import Visitor

WARM = (
    "REPORT RequestId: 4f3a\tDuration: 12.30 ms\tBilled Duration: 13 ms\tMemory Size: 512 MB\t"
    "Max Memory Used: 90 MB\t\n"
)
COLD = (
    "REPORT RequestId: 8b1c\tDuration: 20.10 ms\tBilled Duration: 321 ms\tMemory Size: 512 MB\t"
    "Max Memory Used: 90 MB\tInit Duration: 300.25 ms\t\n"
)
TRACE = "XRAY TraceId: 1-5e9f3a2b-0c1d2e3f\tSegmentId: 2f3a4b5c\tSampled: true\t\n"


@pytest.mark.parametrize("trace", ["", TRACE])
def test_cold_starts_are_found_with_and_without_x_ray(trace: str) -> None:
    assert summarized([WARM + trace, COLD + trace]) == (
        "2 invocations, 334 ms billed; cold starts, median 300 ms of 1"
    )


def test_without_cold_starts_it_says_so() -> None:
    assert summarized([WARM]) == "1 invocations, 13 ms billed; no cold start reported"


def test_findings_about_a_new_account_are_tolerated_and_others_are_not() -> None:
    worker = {"State": "Disabled", "UUID": "u", "ScalingConfig": {"MaximumConcurrency": 10}}
    state = StackState(
        "new",
        {},
        {"OrderWorker": worker},
        {},
        "ENABLED",
        1,
        {},
        concurrency=10,
        alarms_without_a_topic=10,
        front="url",
    )
    assert [
        is_tolerated(finding)
        for check in (_alarms_without_topic, _too_many_workers, _unlimited_url, _disabled_mappings)
        for finding in check(state)
    ] == [True, True, True, False]


def test_only_a_function_url_without_reserved_concurrency_has_no_throttle() -> None:
    url = StackState("s", {}, {}, {}, "ENABLED", 1, {}, 1000, front="url")
    (finding,) = _unlimited_url(url)

    assert "ApiReserved" in finding.fix
    assert list(_unlimited_url(replace(url, reserved={"APIHandler": 50}))) == []
    assert list(_unlimited_url(replace(url, front="http"))) == []


def test_each_front_has_its_own_checks() -> None:
    sentences = {front: {check.sentence for check in all_checks(front)} for front in FRONTS}

    assert "an unknown method is 405, as problem+json, with the known ones in Allow" in (
        sentences["http"] & sentences["url"] - sentences["rest"]
    )
    assert "a burst over the stage's throttle is 429" in sentences["rest"] - sentences["http"]
    assert not any("throttle" in sentence for sentence in sentences["url"])
    assert len(sentences["url"]) > 20


def test_a_check_that_fails_or_breaks_stops_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    def breaks(visit: Visitor) -> bool:
        raise KeyError("items")

    def holds(visit: Visitor) -> bool:
        return True

    checks = (
        Check("one", lambda visit: not holds(visit)),
        Check("two", breaks),
        Check("three", None, "no uploads"),
        Check("four", holds),
    )
    assert run(checks, Visitor("http://127.0.0.1:1", "token")) == ["one", "two"]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("      ")] == [
        "  BAD one",
        "  BAD two",
        "  --  three (skipped: no uploads)",
        "  ok  four",
    ]
    assert "KeyError: 'items'" in lines[3]
