"""GET /orders: filters, limits, cursors, shards; no order skipped or doubled; a page's cost is the same everywhere."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import pytest

from chalicelib import config, orders
from chalicelib.orders import SECOND, Order, Status
from chalicelib.table.items import encode_order, time_key
from tests.kit import Cloud, Reply, Wire

HOUR = 3600 * SECOND


def _ask(cloud: Cloud, query: str = "", **headers: str) -> Reply:
    return cloud.http("GET", f"/orders{query}", headers=headers)


def _next(cloud: Cloud, page: Reply) -> Reply:
    assert page.status == 200, page.body
    url = urlsplit(page.json["next"])
    return cloud.http("GET", f"{url.path}?{url.query}")


def _pages(cloud: Cloud, query: str = "") -> Iterator[Reply]:
    page = _ask(cloud, query)
    yield page
    while "next" in page.json:
        page = _next(cloud, page)
        yield page


def _ids(*pages: Reply) -> list[str]:
    return [item["id"] for page in pages for item in page.json["items"]]


def _stored(cloud: Cloud, count: int, **members: Any) -> list[Order]:
    """So many orders of the client `kit`, written at once, a second between them; the newest first."""
    now = cloud.clock()
    made = [replace(_order(now - n * SECOND, n), **members) for n in range(1, count + 1)]
    for start in range(0, count, 25):
        puts = [{"PutRequest": {"Item": encode_order(order)}} for order in made[start : start + 25]]
        cloud.dynamodb.batch_write_item(RequestItems={config.settings().orders_table: puts})
    return made


def _order(created_at: int, n: int) -> Order:
    return Order(
        owner="kit",
        id=orders.id_of(str(n)),
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
def _settings(**changed: Any) -> Iterator[None]:
    with patch.dict("os.environ", {name.upper(): str(value) for name, value in changed.items()}):
        yield


def test_pages_together_are_all_orders_once_newest_first(cloud: Cloud) -> None:
    made = _stored(cloud, 23)

    pages = list(_pages(cloud, "?limit=5"))

    assert _ids(*pages) == [order.id for order in made]
    assert [len(page.json["items"]) for page in pages] == [5, 5, 5, 5, 3]
    assert [page.headers.get("Link") for page in pages] == [
        f'<{page.json["next"]}>; rel="next"' if "next" in page.json else None for page in pages
    ]
    assert {"result", "input", "history"}.isdisjoint(pages[0].json["items"][0])


def test_a_full_last_page_has_no_next(cloud: Cloud) -> None:
    _stored(cloud, 10)

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
def test_how_many_a_page_shows(cloud: Cloud, query: str, count: int) -> None:
    _stored(cloud, 120)

    assert len(_ask(cloud, query).json["items"]) == count


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
def test_a_wrong_parameter_is_named(cloud: Cloud, query: str) -> None:
    reply = _ask(cloud, query)

    assert (reply.status, reply.json["type"]) == (400, "/problems/invalid-parameter")
    assert query[1:].partition("=")[0] in reply.json["detail"]


def test_filters(cloud: Cloud) -> None:
    names = [cloud.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(3)]
    cloud.http("POST", f"/orders/{names[1]}/cancel")
    cloud.claim(names[2], lease_s=60)

    assert _ids(_ask(cloud, "?status=CANCELLED")) == [names[1]]
    assert _ids(_ask(cloud, "?status=PENDING&status=RUNNING")) == [names[2], names[0]]
    assert _ids(_ask(cloud, "?task=cook_nuggets&status=RUNNING")) == [names[2]]
    assert _ids(_ask(cloud, "?task=none_such")) == []


def test_a_filter_that_little_fits_reads_no_whole_past(
    cloud: Cloud,
    wire: Wire,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A page may be empty and have a next; together they show all."""
    monkeypatch.setattr("chalicelib.table.by_time.MAX_KEYS_PER_PAGE", 20)
    made = _stored(cloud, 45)
    oldest = made[-1]
    cloud.http("POST", f"/orders/{oldest.id}/cancel")
    calls = []
    pages = []
    for page in _pages(cloud, "?status=CANCELLED"):
        pages.append(page)
        calls.append([call for call in wire.calls if call in ("Query", "BatchGetItem")])
        wire.calls.clear()

    assert [len(page.json["items"]) for page in pages] == [0, 0, 1]
    assert calls == [["Query", "BatchGetItem"]] * 3


def test_filtered_pages_together_are_all_that_fits_once(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chalicelib.table.by_time.MAX_KEYS_PER_PAGE", 20)
    made = _stored(cloud, 50)
    wanted = {order.id for order in made[::3]}
    for order in made[::3]:
        cloud.claim(order.id, lease_s=60)

    for query in ("?status=RUNNING&limit=3", "?status=RUNNING&task=cook_nuggets&limit=100"):
        shown = _ids(*_pages(cloud, query))
        assert len(shown) == len(wanted)
        assert set(shown) == wanted


def test_orders_that_arrive_meanwhile_neither_hide_nor_double_any(cloud: Cloud) -> None:
    made = _stored(cloud, 30)
    shown, page = [], _ask(cloud, "?limit=4")
    while True:
        shown += _ids(page)
        cloud.place("cook_nuggets", {"pieces": 1})
        if "next" not in page.json:
            break
        page = _next(cloud, page)

    assert shown == [order.id for order in made]


def test_shards_are_merged_in_the_order_of_time_and_may_grow(cloud: Cloud) -> None:
    old = _stored(cloud, 20)
    with _settings(list_shards=4):
        cloud.clock.advance(100)
        new = [cloud.place("cook_nuggets", {"pieces": 1})["id"] for _ in range(30)]

        shown = _ids(*_pages(cloud, "?limit=7"))

    used = {
        row["time_shard"]["S"]
        for row in cloud.dynamodb.scan(TableName=config.settings().orders_table)["Items"]
    }
    assert shown == [*reversed(new), *(order.id for order in old)]
    assert used == {f"kit#{shard}" for shard in range(4)}
    assert {encode_order(order)["time_shard"]["S"] for order in old} == {"kit#0"}


def test_an_order_s_shard_depends_on_its_id_alone(cloud: Cloud) -> None:
    with _settings(list_shards=3):
        order = cloud.order(cloud.place("cook_nuggets", {"pieces": 1})["id"])

        assert encode_order(order)["time_shard"]["S"] == f"kit#{zlib.crc32(order.id.encode()) % 3}"


def test_expired_orders_are_gone_from_the_list(cloud: Cloud) -> None:
    made = _stored(cloud, 9)
    cloud.http("POST", f"/orders/{made[4].id}/cancel")
    cloud.clock.advance(config.settings().retention_s + 1)

    pages = list(_pages(cloud, "?limit=3"))

    assert _ids(*pages) == [order.id for order in made if order is not made[4]]
    assert [len(page.json["items"]) for page in pages] == [3, 2, 3]


def test_what_aws_leaves_out_of_a_read_is_asked_for_again(cloud: Cloud, wire: Wire) -> None:
    made = _stored(cloud, 6)

    def half(answer: Any) -> Any:
        table, items = next(iter(answer["Responses"].items()))
        left = {table: {"Keys": [{"pk": {"S": f"kit#{item['id']['S']}"}} for item in items[3:]]}}
        return {**answer, "Responses": {table: items[:3]}, "UnprocessedKeys": left}

    wire.answers("BatchGetItem", half)

    assert _ids(_ask(cloud)) == [order.id for order in made]


def test_an_index_that_lags_behind_a_new_life_of_an_id_shows_it_once(
    cloud: Cloud, wire: Wire
) -> None:
    """A key may be used again once its order has expired; the index may still name the old life for a moment."""
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

    assert _ids(_ask(cloud)) == [first["id"]]


def test_a_cursor_of_another_client_or_filter_or_a_changed_one_is_refused(cloud: Cloud) -> None:
    _stored(cloud, 5)
    cursor = urlsplit(_ask(cloud, "?limit=2").json["next"]).query.partition("cursor=")[2]
    stranger = {"Authorization": f"Bearer {cloud.new_token('stranger')}"}
    refused = [
        _ask(cloud, f"?cursor={cursor}", **stranger),
        _ask(cloud, f"?cursor={cursor}&status=PENDING"),
        _ask(cloud, f"?cursor={cursor}&task=cook_nuggets"),
        _ask(cloud, "?cursor="),
        _ask(cloud, f"?cursor={cursor}="),
        _ask(cloud, f"?cursor={cursor[:-1]}"),
        _ask(cloud, f"?cursor={cursor}A"),
        _ask(cloud, "?cursor=%C3%A4"),
        *(
            _ask(cloud, f"?cursor={cursor[:n]}{'A' if cursor[n] != 'A' else 'B'}{cursor[n + 1 :]}")
            for n in range(len(cursor))
        ),
    ]

    assert {(reply.status, reply.json["type"]) for reply in refused} == {
        (400, "/problems/invalid-cursor")
    }
    assert _ask(cloud, f"?cursor={cursor}").status == 200, "the limit may change"


def test_a_cursor_is_of_its_stack(cloud: Cloud) -> None:
    _stored(cloud, 5)
    url = urlsplit(_ask(cloud, "?limit=2").json["next"])

    with _settings(cursor_key="another stack's id"):
        assert (
            cloud.http("GET", f"{url.path}?{url.query}").json["type"] == "/problems/invalid-cursor"
        )


def test_every_page_costs_the_same(cloud: Cloud, wire: Wire) -> None:
    """Ten thousand orders on the local cloud: tests/acceptance/test_long_list.py."""
    made = _stored(cloud, 60)
    _ask(cloud)
    wire.calls.clear()
    costs, shown = [], []
    for page in _pages(cloud, "?limit=6"):
        shown += _ids(page)
        costs.append(list(wire.calls))
        wire.calls.clear()

    assert shown == [order.id for order in made]
    assert costs == [["Query", "BatchGetItem"]] * 10
