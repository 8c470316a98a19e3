"""Flask, Celery and Redis as their documentation shows them.

To Celery an unknown id is PENDING, so a row records that an order was placed:
https://docs.celeryq.dev/en/stable/userguide/tasks.html#pending
"""

import os
import uuid

import redis
from celery import Celery
from flask import Flask, jsonify, request

URL = os.environ["REDIS_URL"]
celery = Celery("kitchen", broker=URL, backend=URL)
rows = redis.Redis.from_url(URL, decode_responses=True)
app = Flask(__name__)


@celery.task
def nothing() -> None:
    pass


@app.post("/orders")
def place():
    request.get_json()
    order = uuid.uuid4().hex
    rows.set(f"order:{order}", "PENDING", ex=86400)
    nothing.apply_async(task_id=order)
    return jsonify(id=order, status="PENDING"), 202


@app.get("/orders/<order>")
def show(order):
    if not rows.exists(f"order:{order}"):
        return jsonify(error="not found"), 404
    return jsonify(id=order, status=celery.AsyncResult(order).status)
