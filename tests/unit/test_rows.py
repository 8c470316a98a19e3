"""Orders are encoded as DynamoDB items and decoded again."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.errors import UnreadableOrder
from chalicelib.orders import Attempt, End, Failure, Order, Progress, Status
from chalicelib.table.items import decode_order, encode, encode_order

SMALL = Order(
    owner="kit",
    id="0" * 26,
    task="cook_nuggets",
    input="{}",
    status=Status.PENDING,
    created_at=1_800_000_000_000_000,
    updated_at=1_800_000_000_000_000,
    max_attempts=5,
    fingerprint="f",
    fence="w",
)
FULL = replace(
    SMALL,
    input='{"text": "\\u0000 😀 1e400"}',
    status=Status.FAILED,
    attempts=3,
    retry_round=1,
    requeue_count=2,
    version=2**53 + 1,
    round_started_at=4,
    run_at=5,
    slot_at=9,
    runnable_since=12,
    stop_at=10,
    after=("3" * 26, "4" * 26),
    when="end",
    notify=("main",),
    past_ends=(End(0, "FAILED", 11),),
    waits_for=frozenset({"4" * 26}),
    dependents=frozenset({"6" * 26, "5" * 26}),
    lease_until=6,
    check_at=7,
    check_shard="queued#0",
    input_file="a" * 64,
    result='"é"',
    result_file="b" * 64,
    error=Failure("task_error", "", 3),
    history=(Attempt(1, 2, "x", {"host": "a", "costs": [4, {"cpu": 5}]}), Attempt(3)),
    progress=Progress(40, "in the oven"),
    parent="1" * 26,
    follow_ups=("2" * 26,),
    depth=1,
    expires_at=8,
)


def test_an_encoded_order_decodes_to_itself() -> None:
    assert decode_order(encode_order(SMALL)) == SMALL
    assert decode_order(encode_order(FULL)) == FULL
    unset = [name for name in Order.__struct_fields__ if getattr(FULL, name) is None]
    assert not unset, "FULL must set every field"


def test_fields_without_a_value_are_absent_so_that_indexes_are_sparse() -> None:
    item = encode_order(SMALL)

    assert not {
        "check_at",
        "check_shard",
        "expires_at",
        "run_at",
        "lease_until",
        "result",
        "error",
    } & set(item)


def test_the_keys_hold_the_owner_and_sort_by_time() -> None:
    item = encode_order(SMALL)
    early = encode_order(replace(SMALL, created_at=999_999_999_999_999))

    assert item["pk"] == {"S": "kit#" + "0" * 26}
    assert item["time_shard"] == {"S": "kit#0"}
    assert item["time_key"] == {"S": "1800000000000000#" + "0" * 26}
    assert early["time_key"]["S"] < item["time_key"]["S"]


def test_an_attribute_of_a_newer_version_is_ignored() -> None:
    assert (
        decode_order({**encode_order(SMALL), "priority": {"N": "1"}, "flags": {"SS": ["a"]}})
        == SMALL
    )


def test_an_attribute_that_an_older_version_did_not_write_has_its_default() -> None:
    item = encode_order(SMALL)
    for name in ("requeue_count", "history", "follow_ups", "depth"):
        del item[name]

    assert decode_order(item) == SMALL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("error", {"code": "task_error"}),
        ("history", ["first"]),
        ("history", [{"end": 2}]),
        ("progress", "half"),
    ],
)
def test_a_value_without_its_members_makes_the_row_unreadable(name: str, value: object) -> None:
    with pytest.raises(UnreadableOrder):
        decode_order({**encode_order(FULL), name: encode(value)})
