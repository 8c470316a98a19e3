"""The zip itself: what is in it, and that it runs with nothing beside it but what Lambda has."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli import package
from tests.acceptance.conftest import LocalCloud
from tests.acceptance.packaged import STACK, Packaged, message, records, sample
from tests.kit import runtime

pytestmark = pytest.mark.local
UNCHECKED = (0b01).to_bytes(4, "little")  # https://peps.python.org/pep-0552/
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="AWS's runtime client is built for Linux alone"
)


@pytest.fixture(scope="module")
def packaged(
    tmp_path_factory: pytest.TempPathFactory, local_cloud: LocalCloud
) -> Iterator[Packaged]:
    made = Packaged(tmp_path_factory.mktemp("packaged"), local_cloud.environment)
    yield made
    made.close()


@on_linux
def test_http_without_a_token_is_401_as_problem_json(packaged: Packaged) -> None:
    reply = packaged.http("GET", "/orders")
    assert reply["statusCode"] == 401
    assert json.loads(reply["body"])["request_id"] == "0f3a2f5e-3f5b-4c9e-9d57-1f2b7f6f8a11"


@on_linux
def test_a_browser_gets_the_board_as_html_without_a_token(packaged: Packaged) -> None:
    reply = packaged.http("GET", "/board")
    assert reply["statusCode"] == 200
    headers = {
        name.lower(): value
        for name, value in {
            **reply["headers"],
            **{name: values[0] for name, values in reply.get("multiValueHeaders", {}).items()},
        }.items()
    }
    assert headers["content-type"].startswith("text/html")
    assert "<html" in reply["body"]


@on_linux
def test_an_order_goes_its_way_through_the_packaged_functions(packaged: Packaged) -> None:
    order_id = packaged.place()
    assert packaged.show(order_id)["status"] == "PENDING"

    answer = packaged.function("OrderWorker").invoke(records(message(order_id)))

    assert answer.value == {"batchItemFailures": []}
    assert packaged.show(order_id)["status"] == "SUCCESS"


@on_linux
def test_one_bad_record_keeps_no_other_from_its_end(packaged: Packaged) -> None:
    first, last = packaged.place(), packaged.place()

    answer = packaged.function("OrderWorker").invoke(
        records(message(first), "no JSON", message(last)), time_left_s=60
    )

    assert answer.value == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert {packaged.show(order_id)["status"] for order_id in (first, last)} == {"SUCCESS"}


@on_linux
def test_a_dead_letter_of_an_unknown_task_ends_its_order(packaged: Packaged) -> None:
    order_id = packaged.place()
    packaged.dynamodb.update_item(
        TableName=f"{STACK}-orders",
        Key={"pk": {"S": f"kit#{order_id}"}},
        UpdateExpression="SET #task = :gone",
        ExpressionAttributeNames={"#task": "task"},
        ExpressionAttributeValues={":gone": {"S": "renamed"}},
    )

    answer = packaged.function("DeadLetters").invoke(
        records(message(order_id, "renamed"), "no JSON")
    )

    assert answer.value == {"batchItemFailures": []}
    assert packaged.show(order_id)["error"]["code"] == "unknown_task"


@on_linux
def test_the_schedule_sends_again_what_is_overdue(packaged: Packaged) -> None:
    order_id = packaged.place()
    packaged.dynamodb.update_item(
        TableName=f"{STACK}-orders",
        Key={"pk": {"S": f"kit#{order_id}"}},
        UpdateExpression="SET check_at = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )

    answer = packaged.function("OrderSweeper").invoke(sample("schedule"))

    assert answer.error is None
    assert answer.value["resent"] == 1


@on_linux
def test_no_dev_dependency_can_be_imported(packaged: Packaged) -> None:
    """What the tests of this file prove hangs on it: a forgotten dependency must fail here, not on AWS."""
    spy = packaged.folder / "spy"
    spy.mkdir()
    (spy / "spy.py").write_text(
        "import importlib.util, sys\n"
        "def handler(event, context):\n"
        "    return {name: importlib.util.find_spec(name) is not None for name in event}\n"
    )
    names = ["moto", "pytest", "cli", "tests", "yaml", "click", "boto3"]
    with runtime.running(
        spy, "spy.handler", packaged.environment, packaged.folder / "spy.log"
    ) as function:
        found = function.invoke(names).value
    assert found == {**dict.fromkeys(names, False), "boto3": True}


def test_the_zip_is_small_and_holds_the_app_alone() -> None:
    made = package.package("dev")
    with zipfile.ZipFile(made.zip) as opened:
        names = opened.namelist()
    print(package.contents(made.zip))  # noqa: T201  the list is what one wants to see: pytest -s
    assert made.zip.stat().st_size <= 800_000
    tops = {name.split("/")[0] for name in names}
    assert {"app.py", "chalicelib", "chalice"} <= tops
    assert not tops & {
        "tests",
        "cli",
        "benchmarks",
        "docs",
        "requirements.txt",
        ".local",
        ".chalice",
        "vendor",
    }
    assert not [name for name in names if name.endswith((".md", ".sh")) or "/test" in name]


def test_every_module_is_compiled_and_a_change_of_code_leaves_nothing_stale() -> None:
    made = package.package("dev")
    with zipfile.ZipFile(made.zip) as opened:
        sources = {name for name in opened.namelist() if name.endswith(".py")}
        for source in sources:
            with opened.open(importlib.util.cache_from_source(source)) as bytecode:
                assert bytecode.read(8)[4:] == UNCHECKED
    with zipfile.ZipFile(io.BytesIO(package.refreshed(made.zip))) as opened:
        compiled = {name for name in opened.namelist() if name.endswith(".pyc")}
    assert compiled
    assert not [name for name in compiled if name.startswith(("__pycache__", "chalicelib"))]


def test_a_package_made_again_is_the_same_to_the_byte() -> None:
    assert package.package("dev").zip.read_bytes() == package.package("dev").zip.read_bytes()


def test_the_local_zip_differs_in_native_wheels_alone() -> None:
    def files(made: package.Package) -> set[str]:
        with zipfile.ZipFile(made.zip) as opened:
            # A native module's name ends in its platform; RECORD and WHEEL list the same
            return {name.split(".cpython-")[0] for name in opened.namelist()}

    assert files(package.package("dev")) == files(package.package("dev", this_machine=True))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: re.sub(
            "sha256:(.)", lambda found: f"sha256:{'1' if found[1] == '0' else '0'}", text
        ),
        lambda text: re.sub(r" \\\n *--hash=\S+", "", text),
    ],
    ids=["another hash", "no hash"],
)
def test_a_wheel_that_is_not_the_listed_one_fails_the_build(tmp_path: Path, spoil: Any) -> None:
    lock = tmp_path / "requirements-lambda.txt"
    lock.write_text(spoil(package.LOCK.read_text()))
    with pytest.raises(package.PackageError, match="hash"):
        package.package("dev", lock=lock)
