"""Orderline without the kit: one's own moto, tables and queue under the documented names, Chalice's test client."""

from __future__ import annotations

import json

import boto3
import pytest
from chalice.test import Client
from moto import mock_aws

from app import app

ORDERS, QUEUE = "orderline-dev-orders", "orderline-dev-orders"


def test_an_order_is_cooked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        boto3.client("dynamodb", "us-east-1").create_table(
            TableName=ORDERS,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        )
        sqs = boto3.client("sqs", "us-east-1")
        url = sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
        client = Client(app)

        body = b'{"task": "cook_nuggets", "input": {"pieces": 6}}'
        placed = client.http.post(
            "/orders", headers={"Content-Type": "application/json"}, body=body
        )
        assert placed.status_code == 202, placed.body
        order_id = placed.json_body["id"]

        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        event = client.events.generate_sqs_event([message["Body"]])
        answer = client.lambda_.invoke("order_worker", event).payload

        assert json.loads(json.dumps(answer)) == {"batchItemFailures": []}
        shown = client.http.get(f"/orders/{order_id}").json_body
        assert (shown["status"], shown["result"]["pieces"]) == ("SUCCESS", 6)
