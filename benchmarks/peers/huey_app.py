"""Flask, Huey and Redis as their documentation shows them.

https://huey.readthedocs.io/en/latest/guide.html
"""

import os
import uuid

import redis
from flask import Flask, jsonify, request
from huey import RedisHuey

URL = os.environ["REDIS_URL"]
huey = RedisHuey("kitchen", url=URL)
rows = redis.Redis.from_url(URL, decode_responses=True)
app = Flask(__name__)


@huey.task()
def nothing(order):
    rows.set(f"order:{order}", "SUCCESS", ex=86400)


@app.post("/orders")
def place():
    request.get_json()
    order = uuid.uuid4().hex
    rows.set(f"order:{order}", "PENDING", ex=86400)
    nothing(order)
    return jsonify(id=order, status="PENDING"), 202


@app.get("/orders/<order>")
def show(order):
    status = rows.get(f"order:{order}")
    return (jsonify(id=order, status=status), 200) if status else (jsonify(error="not found"), 404)
