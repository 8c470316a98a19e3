"""Naive task queue for comparison: Chalice, two boto3 clients, four calls. It loses orders."""

import json
import os
import uuid

import boto3
from chalice import Chalice, Response

app = Chalice(app_name="naive")
dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
TABLE, QUEUE = f"{os.environ['STACK']}-orders", os.environ["QUEUE_URL"]


@app.route("/orders", methods=["POST"])
def place():
    order = uuid.uuid4().hex
    row = {
        "pk": {"S": order},
        "status": {"S": "PENDING"},
        "input": {"S": json.dumps(app.current_request.json_body)},
    }
    dynamodb.put_item(TableName=TABLE, Item=row)
    sqs.send_message(QueueUrl=QUEUE, MessageBody=json.dumps({"pk": order}))
    return Response({"id": order, "status": "PENDING"}, status_code=202)


@app.route("/orders/{order}", methods=["GET"])
def show(order):
    row = dynamodb.get_item(TableName=TABLE, Key={"pk": {"S": order}})["Item"]
    return {"id": order, "status": row["status"]["S"]}


@app.on_sqs_message(queue="orders")
def order_worker(event):
    for record in event:
        for status in ("RUNNING", "SUCCESS"):
            dynamodb.update_item(
                TableName=TABLE,
                Key={"pk": {"S": json.loads(record.body)["pk"]}},
                UpdateExpression="SET #status = :new_status",
                ExpressionAttributeNames={"#status": "status"},
                ExpressionAttributeValues={":new_status": {"S": status}},
            )
