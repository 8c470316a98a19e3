"""Orderline without the kit: only moto, its tables and queue, and Chalice's test client."""

from __future__ import annotations

import json

import boto3
import pytest
from chalice.test import Client
from moto import mock_aws

from app import app

ORDERS = "orderline-dev-orders"
QUEUE = "orderline-dev-orders"


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
        response = client.http.post(
            "/orders", headers={"Content-Type": "application/json"}, body=body
        )
        assert response.status_code == 202, response.body
        order_id = response.json_body["id"]

        (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
        event = client.events.generate_sqs_event([message["Body"]])
        answer = client.lambda_.invoke("order_worker", event).payload

        assert json.loads(json.dumps(answer)) == {"batchItemFailures": []}
        order = client.http.get(f"/orders/{order_id}").json_body
        assert (order["status"], order["result"]["pieces"]) == ("SUCCESS", 6)
