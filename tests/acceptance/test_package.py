"""The deployment package: its files, and its functions without any package of this machine."""

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

from dev.packaging import PackageError, package, wheels
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
    functions = Packaged(tmp_path_factory.mktemp("packaged"), local_cloud.environment)
    yield functions
    functions.close()


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
def test_an_order_succeeds_in_the_packaged_functions(packaged: Packaged) -> None:
    order_id = packaged.place()
    assert packaged.show(order_id)["status"] == "PENDING"

    response = packaged.function("OrderWorker").invoke(records(message(order_id)))

    assert response.value == {"batchItemFailures": []}
    assert packaged.show(order_id)["status"] == "SUCCESS"


@on_linux
def test_the_events_of_the_other_fronts_are_answered_too(packaged: Packaged) -> None:
    post, listing = sample("function_url"), sample("http_api")
    for event in (post, listing):
        event["headers"]["authorization"] = f"Bearer {packaged.token}"

    placed = packaged.answered(post)
    listed = packaged.answered(listing)
    unknown = packaged.answered({**listing, "rawPath": "/nowhere"})

    assert placed["statusCode"] == 202
    order = json.loads(placed["body"])
    assert order["id"] in [each["id"] for each in json.loads(listed["body"])["items"]]
    assert (unknown["statusCode"], unknown["headers"]["Content-Type"]) == (
        404,
        "application/problem+json",
    )


@on_linux
def test_a_malformed_record_does_not_stop_the_rest_of_the_batch(packaged: Packaged) -> None:
    first = packaged.place()
    last = packaged.place()

    response = packaged.function("OrderWorker").invoke(
        records(message(first), "not JSON", message(last)), time_left_s=60
    )

    assert response.value == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
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

    response = packaged.function("DeadLetters").invoke(
        records(message(order_id, "renamed"), "not JSON")
    )

    assert response.value == {"batchItemFailures": []}
    assert packaged.show(order_id)["error"]["code"] == "unknown_task"


@on_linux
def test_the_scheduled_sweeper_requeues_an_overdue_order(packaged: Packaged) -> None:
    order_id = packaged.place()
    packaged.dynamodb.update_item(
        TableName=f"{STACK}-orders",
        Key={"pk": {"S": f"kit#{order_id}"}},
        UpdateExpression="SET check_at = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )

    response = packaged.function("OrderSweeper").invoke(sample("schedule"))

    assert response.error is None
    assert response.value["resent"] == 1


@on_linux
def test_no_dev_dependency_can_be_imported(packaged: Packaged) -> None:
    """Check what the other tests rely on: a missing dependency fails here, not first on AWS."""
    spy = packaged.folder / "spy"
    spy.mkdir()
    (spy / "spy.py").write_text(
        "import importlib.util, sys\n"
        "def handler(event, context):\n"
        "    return {name: importlib.util.find_spec(name) is not None for name in event}\n"
    )
    names = ["moto", "pytest", "dev", "tests", "yaml", "click", "boto3"]
    with runtime.running(
        spy, "spy.handler", packaged.environment, packaged.folder / "spy.log"
    ) as function:
        found = function.invoke(names).value
    assert found == {**dict.fromkeys(names, False), "boto3": True}


def test_the_zip_is_small_and_has_only_the_app() -> None:
    built = package.package("dev")
    with zipfile.ZipFile(built.zip) as opened:
        names = opened.namelist()
    print(package.contents(built.zip))  # noqa: T201  shown by pytest -s
    assert built.zip.stat().st_size <= 1_050_000
    tops = {name.split("/")[0] for name in names}
    assert {"app.py", "chalicelib", "chalice"} <= tops
    assert not tops & {
        "tests",
        "dev",
        "client",
        "testkit",
        "benchmarks",
        "docs",
        "requirements.txt",
        ".local",
        ".chalice",
        "vendor",
    }
    assert not [name for name in names if name.endswith((".md", ".sh")) or "/test" in name]


def test_every_module_is_compiled_and_no_bytecode_of_changed_code_is_left() -> None:
    built = package.package("dev")
    with zipfile.ZipFile(built.zip) as opened:
        sources = {name for name in opened.namelist() if name.endswith(".py")}
        for source in sources:
            with opened.open(importlib.util.cache_from_source(source)) as bytecode:
                assert bytecode.read(8)[4:] == UNCHECKED
    with zipfile.ZipFile(io.BytesIO(package.refreshed(built.zip))) as opened:
        compiled = {name for name in opened.namelist() if name.endswith(".pyc")}
    assert compiled
    assert not [name for name in compiled if name.startswith(("__pycache__", "chalicelib"))]


def test_packages_of_the_same_code_are_equal_byte_by_byte() -> None:
    assert package.package("dev").zip.read_bytes() == package.package("dev").zip.read_bytes()


def test_the_local_zip_differs_only_in_native_wheels() -> None:
    def files(built: package.Package) -> set[str]:
        with zipfile.ZipFile(built.zip) as opened:
            # A native module's name ends in its platform; RECORD and WHEEL list the same
            return {name.split(".cpython-")[0] for name in opened.namelist()}

    assert files(package.package("dev")) == files(package.package("dev", this_machine=True))


def test_the_user_s_own_libraries_are_added_to_the_package() -> None:
    def files(*locks: Path) -> dict[str, bytes]:
        with zipfile.ZipFile(package.package("dev", locks=locks).zip) as opened:
            return {name: opened.read(name) for name in opened.namelist()}

    ours = files(wheels.LOCK)
    both = files(wheels.LOCK, wheels.ROOT / "requirements" / "image.txt")

    assert ours.items() <= both.items()
    added = {name.partition("/")[0].partition("-")[0] for name in both.keys() - ours.keys()}
    assert added == {"PIL", "pillow", "pillow.libs"}


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
def test_a_wheel_with_a_wrong_or_missing_hash_fails_the_build(tmp_path: Path, spoil: Any) -> None:
    lock = tmp_path / "requirements-lambda.txt"
    lock.write_text(spoil(wheels.LOCK.read_text()))
    with pytest.raises(PackageError, match="hash"):
        package.package("dev", locks=[lock])
