"""GET /orders: filters, limits, cursors, shards; each order once, each page at the same cost."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from chalicelib import config, ids
from chalicelib.clock import SECOND
from chalicelib.orders import Order, Status
from chalicelib.table.items import encode_order, time_key
from testkit import Cloud, Reply, Wire

HOUR = 3600 * SECOND


def _get(cloud: Cloud, query: str = "", **headers: str) -> Reply:
    return cloud.http("GET", f"/orders{query}", headers=headers)


def _next(cloud: Cloud, page: Reply) -> Reply:
    assert page.status == 200, page.body
    url = urlsplit(page.json["next"])
    return cloud.http("GET", f"{url.path}?{url.query}")


def _pages(cloud: Cloud, query: str = "") -> Iterator[Reply]:
    page = _get(cloud, query)
    yield page
    while "next" in page.json:
        page = _next(cloud, page)
        yield page


def _ids(*pages: Reply) -> list[str]:
    return [item["id"] for page in pages for item in page.json["items"]]


def _store(cloud: Cloud, count: int, **members: Any) -> list[Order]:
    """Store `count` orders of the owner `kit`, a second apart, and return them, newest first."""
    now = cloud.clock()
    batch = [replace(_order(now - n * SECOND, n), **members) for n in range(1, count + 1)]
    for start in range(0, count, 25):
        puts = [
            {"PutRequest": {"Item": encode_order(order)}} for order in batch[start : start + 25]
        ]
        cloud.dynamodb.batch_write_item(RequestItems={config.settings().orders_table: puts})
    return batch


def _order(created_at: int, n: int) -> Order:
    return Order(
        owner="kit",
        id=ids.id_of(str(n)),
        task="cook_nuggets",
        input="{}",
        status=Status.PENDING,
        created_at=created_at,
        updated_at=created_at,
        max_attempts=5,
        fingerprint="",
        fence="",
    )


@contextmanager
def _settings(**values: Any) -> Iterator[None]:
    with patch.dict("os.environ", {name.upper(): str(value) for name, value in values.items()}):
        yield


def test_the_pages_have_all_orders_once_newest_first(cloud: Cloud) -> None:
    stored = _store(cloud, 23)

    pages = list(_pages(cloud, "?limit=5"))

    assert _ids(*pages) == [order.id for order in stored]
    assert [len(page.json["items"]) for page in pages] == [5, 5, 5, 5, 3]
    assert [page.headers.get("Link") for page in pages] == [
        f'<{page.json["next"]}>; rel="next"' if "next" in page.json else None for page in pages
    ]
    assert {"result", "input", "history"}.isdisjoint(pages[0].json["items"][0])


def test_a_full_last_page_has_no_next(cloud: Cloud) -> None:
    _store(cloud, 10)

    assert [len(page.json["items"]) for page in _pages(cloud, "?limit=5")] == [5, 5]


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("", 50),
        ("?limit=100", 100),
        ("?limit=101", 100),
        ("?limit=" + "9" * 400, 100),
        ("?limit=1", 1),
    ],
)
def test_the_limit_is_the_size_of_a_page(cloud: Cloud, query: str, count: int) -> None:
    _store(cloud, 120)

    assert len(_get(cloud, query).json["items"]) == count


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=-1",
        "?limit=1.5",
        "?limit=x",
        "?limit=",
        "?limit=%C2%B2",
        "?limit=1&limit=2",
        "?status=pending",
        "?status=",
        "?status=SUCCESS&status=x",
        "?task=a&task=b",
        "?stauts=SUCCESS",
        "?page=2",
    ],
)
def test_the_error_for_an_invalid_parameter_names_it(cloud: Cloud, query: str) -> None:
    reply = _get(cloud, query)

    assert (reply.status, reply.json["type"]) == (400, "/problems/invalid-parameter")
    assert query[1:].partition("=")[0] in reply.json["detail"]


def test_status_and_task_filter_the_list(cloud: Cloud) -> None:
    ids = [cloud.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(3)]
    cloud.http("POST", f"/orders/{ids[1]}/cancel")
    cloud.claim(ids[2], lease_s=60)

    assert _ids(_get(cloud, "?status=CANCELLED")) == [ids[1]]
    assert _ids(_get(cloud, "?status=PENDING&status=RUNNING")) == [ids[2], ids[0]]
    assert _ids(_get(cloud, "?task=cook_nuggets&status=RUNNING")) == [ids[2]]
    assert _ids(_get(cloud, "?task=none_such")) == []


def test_a_filter_with_few_matches_does_not_read_the_whole_history(
    cloud: Cloud,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Return empty pages with a next link rather than scan on; together they have every match."""
    monkeypatch.setattr("chalicelib.table.by_time.MAX_KEYS_PER_PAGE", 20)
    stored = _store(cloud, 45)
    oldest = stored[-1]
    cloud.http("POST", f"/orders/{oldest.id}/cancel")
    calls = []
    pages = []
    for page in _pages(cloud, "?status=CANCELLED"):
        pages.append(page)
        calls.append([call for call in wire.calls if call in ("Query", "BatchGetItem")])
        wire.calls.clear()

    assert [len(page.json["items"]) for page in pages] == [0, 0, 1]
    assert calls == [["Query", "BatchGetItem"]] * 3


def test_the_filtered_pages_have_all_matches_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.table.by_time.MAX_KEYS_PER_PAGE", 20)
    stored = _store(cloud, 50)
    matches = {order.id for order in stored[::3]}
    for order in stored[::3]:
        cloud.claim(order.id, lease_s=60)

    for query in ("?status=RUNNING&limit=3", "?status=RUNNING&task=cook_nuggets&limit=100"):
        ids = _ids(*_pages(cloud, query))
        assert len(ids) == len(matches)
        assert set(ids) == matches


def test_orders_that_arrive_meanwhile_neither_hide_nor_repeat_any(cloud: Cloud) -> None:
    stored = _store(cloud, 30)
    ids: list[str] = []
    page = _get(cloud, "?limit=4")
    while True:
        ids += _ids(page)
        cloud.place("cook_nuggets", {"pieces": 1})
        if "next" not in page.json:
            break
        page = _next(cloud, page)

    assert ids == [order.id for order in stored]


def test_shards_are_merged_by_time_and_their_number_may_grow(cloud: Cloud) -> None:
    old = _store(cloud, 20)
    with _settings(list_shards=4):
        cloud.clock.advance(100)
        new = [cloud.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(30)]

        ids = _ids(*_pages(cloud, "?limit=7"))

    shards = {
        row["time_shard"]["S"]
        for row in cloud.dynamodb.scan(TableName=config.settings().orders_table)["Items"]
    }
    assert ids == [*reversed(new), *(order.id for order in old)]
    assert shards == {f"kit#{shard}" for shard in range(4)}
    assert {encode_order(order)["time_shard"]["S"] for order in old} == {"kit#0"}


def test_the_shard_of_an_order_depends_on_its_id_only(cloud: Cloud) -> None:
    with _settings(list_shards=3):
        order = cloud.order(cloud.place("cook_nuggets", {"pieces": 1})["id"])

        shard = zlib.crc32(order.id.encode()) % 3
        assert encode_order(order)["time_shard"]["S"] == f"kit#{shard}"


def test_expired_orders_are_not_in_the_list(cloud: Cloud) -> None:
    stored = _store(cloud, 9)
    cloud.http("POST", f"/orders/{stored[4].id}/cancel")
    cloud.clock.advance(config.settings().retention_s + 1)

    pages = list(_pages(cloud, "?limit=3"))

    assert _ids(*pages) == [order.id for order in stored if order is not stored[4]]
    assert [len(page.json["items"]) for page in pages] == [3, 2, 3]


def test_keys_that_aws_did_not_process_are_read_again(cloud: Cloud, wire: Wire) -> None:
    stored = _store(cloud, 6)

    def half(answer: Any) -> Any:
        table, items = next(iter(answer["Responses"].items()))
        rest = {table: {"Keys": [{"pk": {"S": f"kit#{item['id']['S']}"}} for item in items[3:]]}}
        return {**answer, "Responses": {table: items[:3]}, "UnprocessedKeys": rest}

    wire.answers("BatchGetItem", half)

    assert _ids(_get(cloud)) == [order.id for order in stored]


def test_an_order_with_an_outdated_index_entry_is_listed_once(cloud: Cloud, wire: Wire) -> None:
    """Ignore the index entry of an expired order whose key, and so whose id, is in use again."""
    key = {"Idempotency-Key": "again"}
    first = cloud.place("cook_nuggets", {"pieces": 1}, key)
    old = time_key(cloud.order(first["id"]))
    cloud.http("POST", f"/orders/{first['id']}/cancel")
    cloud.clock.advance(config.settings().retention_s + 1)
    assert cloud.place("cook_nuggets", {"pieces": 2}, key)["id"] == first["id"]
    stale = {
        "time_key": {"S": old},
        "pk": {"S": f"kit#{first['id']}"},
        "task": {"S": "cook_nuggets"},
    }
    wire.answers("Query", lambda answer: {**answer, "Items": [*answer["Items"], stale]})

    assert _ids(_get(cloud)) == [first["id"]]


def test_a_cursor_of_another_owner_or_filter_or_with_changes_is_refused(cloud: Cloud) -> None:
    _store(cloud, 5)
    cursor = urlsplit(_get(cloud, "?limit=2").json["next"]).query.partition("cursor=")[2]
    stranger = {"Authorization": f"Bearer {cloud.new_token('stranger')}"}
    refused = [
        _get(cloud, f"?cursor={cursor}", **stranger),
        _get(cloud, f"?cursor={cursor}&status=PENDING"),
        _get(cloud, f"?cursor={cursor}&task=cook_nuggets"),
        _get(cloud, "?cursor="),
        _get(cloud, f"?cursor={cursor}="),
        _get(cloud, f"?cursor={cursor[:-1]}"),
        _get(cloud, f"?cursor={cursor}A"),
        _get(cloud, "?cursor=%C3%A4"),
        *(
            _get(cloud, f"?cursor={cursor[:n]}{'A' if cursor[n] != 'A' else 'B'}{cursor[n + 1 :]}")
            for n in range(len(cursor))
        ),
    ]

    assert {(reply.status, reply.json["type"]) for reply in refused} == {
        (400, "/problems/invalid-cursor")
    }
    assert _get(cloud, f"?cursor={cursor}").status == 200, "the limit may change"


def test_a_cursor_of_another_stack_is_refused(cloud: Cloud) -> None:
    _store(cloud, 5)
    url = urlsplit(_get(cloud, "?limit=2").json["next"])

    with _settings(cursor_key="another stack's id"):
        reply = cloud.http("GET", f"{url.path}?{url.query}")

        assert reply.json["type"] == "/problems/invalid-cursor"


def test_every_page_costs_the_same(cloud: Cloud, wire: Wire) -> None:
    """Read page after page; tests/acceptance/test_long_list.py does so with ten thousand orders."""
    stored = _store(cloud, 60)
    _get(cloud)
    wire.calls.clear()
    costs = []
    ids: list[str] = []
    for page in _pages(cloud, "?limit=6"):
        ids += _ids(page)
        costs.append(list(wire.calls))
        wire.calls.clear()

    assert ids == [order.id for order in stored]
    assert costs == [["Query", "BatchGetItem"]] * 10
