"""A list of ten thousand orders on the local cloud: each page takes the same number of calls."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from chalice.test import Client

import app as orderline
from chalicelib import auth, clock, ids
from chalicelib.aws import client
from chalicelib.clock import SECOND
from chalicelib.orders import Order, Status
from chalicelib.table.items import encode_order
from testkit import template
from tests.acceptance.conftest import LocalCloud

pytestmark = pytest.mark.local
COUNT = 10_000
STACK = "long-list"


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


def test_each_page_of_ten_thousand_orders_takes_two_calls(local_cloud: LocalCloud) -> None:
    dynamodb = local_cloud.client("dynamodb")
    with patch.dict("os.environ", STACK=STACK):
        template.create(STACK, dynamodb, local_cloud.client("sqs"))
        stored = [_order(clock.now() - n * SECOND, n) for n in range(COUNT)]
        for start in range(0, COUNT, 25):
            puts = [
                {"PutRequest": {"Item": encode_order(order)}}
                for order in stored[start : start + 25]
            ]
            dynamodb.batch_write_item(RequestItems={f"{STACK}-orders": puts})
        text, token = auth.issue("kit")
        dynamodb.put_item(TableName=f"{STACK}-tokens", Item=auth.encode(token))
        calls: list[str] = []
        boto: Any = client.client("dynamodb")
        boto._client.meta.events.register(
            "before-call", lambda model, **_: calls.append(model.name)
        )
        ids = []
        calls_per_page = []
        path = "/orders?limit=100"
        http: Any = Client(
            orderline.app, stage_name="dev", project_dir=str(template.RESOURCES.parents[1])
        ).http
        while path:
            page = http.get(path, headers={"Authorization": f"Bearer {text}"}).json_body
            ids += [item["id"] for item in page["items"]]
            # GetItem reads the token, once a minute
            calls_per_page.append([call for call in calls if call != "GetItem"])
            calls.clear()
            path = page.get("next", "").removeprefix("http://localhost")

    assert ids == [order.id for order in stored]
    assert calls_per_page == [["Query", "BatchGetItem"]] * (COUNT // 100)
