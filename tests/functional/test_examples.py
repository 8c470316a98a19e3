"""The examples do what their READMEs say, on the mocked cloud."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from orderline import Orderline

from examples.flask_app import placing
from testkit import Cloud
from testkit.cloud import REGION
from tests.kit.front import serving

EXAMPLES = Path(__file__).parents[2] / "examples"
MESSAGE = "From: ada@example.org\nSubject: Hello\n\nHow are you?\n"


def load_task(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import an example's task file, as if it had been copied to chalicelib/tasks."""
    (path,) = EXAMPLES.glob(f"*/{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_the_flask_app_s_functions_place_one_order_for_an_upload_and_show_its_end(
    cloud: Cloud,
) -> None:
    with serving(cloud) as front:
        orderline = Orderline(front.url, cloud.token)
        order_id = placing.read_email(orderline, "1", MESSAGE)
        assert placing.read_email(orderline, "1", MESSAGE) == order_id
        assert placing.email_state(orderline, order_id) == {
            "status": "PENDING",
            "email": None,
            "error": None,
        }
        cloud.drain()
        state = placing.email_state(orderline, order_id)

    assert (state["status"], state["email"]["subject"]) == ("SUCCESS", "Hello")


def test_the_flask_app_answers_at_once_and_shows_the_email_later(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flask")
    browser: Any = importlib.import_module("examples.flask_app.app").app.test_client()
    with serving(cloud) as front:
        monkeypatch.setenv("ORDERLINE_URL", front.url)
        monkeypatch.setenv("ORDERLINE_TOKEN", cloud.token)
        accepted = browser.post("/emails/1", data=MESSAGE)
        cloud.drain()
        shown = browser.get(accepted.json["state"])
        reused = browser.post("/emails/1", data="another text under the same id")
        unknown = browser.get("/emails/orders/nothing")

    assert (accepted.status_code, shown.status_code) == (202, 200)
    assert shown.json["email"]["subject"] == "Hello"
    assert (reused.status_code, unknown.status_code) == (422, 404)
    assert "Idempotency-Key" in reused.json["error"]


def test_the_flask_app_asks_to_retry_while_orderline_is_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("flask")
    browser: Any = importlib.import_module("examples.flask_app.app").app.test_client()
    monkeypatch.setenv("ORDERLINE_URL", "http://127.0.0.1:9")  # discard: nothing listens
    monkeypatch.setenv("ORDERLINE_TOKEN", "none")
    monkeypatch.setattr(placing, "PATIENCE_S", 0)

    unavailable = browser.post("/emails/1", data=MESSAGE)

    assert (unavailable.status_code, unavailable.headers["Retry-After"]) == (503, "5")


def test_the_nightly_report_orders_one_report_per_branch(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_task("nightly_report", monkeypatch)
    cloud.sweep()
    assert cloud.rows() == [], "the first sweep only notes the schedule"

    cloud.clock.advance(24 * 3600)
    for _ in range(2):
        cloud.sweep()
        cloud.drain()

    rows = cloud.rows()
    assert {row.status.value for row in rows} == {"SUCCESS"}
    assert sorted(row.task for row in rows) == ["branch_report"] * len(module.SALES) + [
        "nightly_report"
    ]
    results = [json.loads(row.result or "") for row in rows if row.task == "branch_report"]
    assert {result["branch"]: result["sales"] for result in results} == module.SALES
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", result["day"]) for result in results)


def test_a_branch_that_fails_does_not_stop_the_report_of_the_others(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_task("nightly_report", monkeypatch)
    monkeypatch.setitem(module.SALES, "market", object())  # not JSON

    report = cloud.place("nightly_report")
    cloud.drain()

    follow_ups = cloud.get(report["id"])["result"]
    succeeded = {
        branch for branch, id in follow_ups.items() if cloud.get(id)["status"] == "SUCCESS"
    }
    assert succeeded == set(module.SALES) - {"market"}


def test_the_nightly_report_can_be_ordered_for_a_day(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_task("nightly_report", monkeypatch)

    order = cloud.place("nightly_report", {"day": "2030-01-31"})
    cloud.drain()

    follow_ups = cloud.get(order["id"])["result"].values()
    assert {cloud.get(order_id)["result"]["day"] for order_id in follow_ups} == {"2030-01-31"}


def test_a_task_gets_a_pointer_and_returns_one(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "boto3", raising=False)
    module = load_task("count_words", monkeypatch)
    assert "boto3" not in sys.modules, "it would slow every cold start"
    s3 = boto3.client("s3", region_name=REGION)
    s3.create_bucket(Bucket=module.BUCKET)
    s3.put_object(Bucket=module.BUCKET, Key="texts/a.txt", Body=b"to be\nor not To be")

    there, missing = (
        cloud.place("count_words", {"key": f"texts/{name}"})["id"] for name in ("a.txt", "b.txt")
    )
    cloud.drain()

    result = cloud.get(there)["result"]
    assert result == {"key": "counts/a.txt.json", "words": 6}
    counts = json.loads(s3.get_object(Bucket=module.BUCKET, Key=result["key"])["Body"].read())
    assert counts == {"to": 2, "be": 2, "or": 1, "not": 1}
    failed = cloud.get(missing)
    assert (failed["status"], failed["attempts"]) == ("FAILED", 1)
    assert "upload it first" in failed["error"]["message"]
    assert (
        cloud.http("POST", "/orders", {"task": "count_words", "input": {"key": "private/x"}}).status
        == 422
    )


def test_the_receipt_is_a_pdf_to_download(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    load_task("receipt", monkeypatch)
    lines = ["12 nuggets (crisp)", "1 curry sauce: 5 €"]
    order = cloud.place("receipt", {"title": "Receipt", "lines": lines})
    cloud.drain()

    file = cloud.get(order["id"])["result"]
    content = cloud.download(file["file"])

    assert (file["name"], file["type"]) == ("receipt.pdf", "application/pdf")
    assert rb"(12 nuggets \(crisp\)) '" in content
    table = int(content.split()[-2])
    assert content[table:].startswith(b"xref")
    for number, offset in enumerate(re.findall(rb"(\d{10}) 00000 n", content), 1):
        assert content[int(offset) :].startswith(b"%d 0 obj" % number)
