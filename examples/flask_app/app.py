"""A Flask app: take an email, answer at once, and show it once it has been read."""

from __future__ import annotations

from typing import Any

from flask import Flask, request, url_for
from orderline import CallError

from examples.flask_app import placing

app = Flask(__name__)


@app.post("/emails/<upload>")
def upload_email(upload: str) -> Any:
    order_id = placing.read_email(placing.connect(), upload, request.get_data(as_text=True))
    return {"state": url_for("show_email", order_id=order_id)}, 202


@app.get("/emails/orders/<order_id>")
def show_email(order_id: str) -> Any:
    return placing.email_state(placing.connect(), order_id)


@app.errorhandler(CallError)
def orderline_failed(error: CallError) -> Any:
    return {"error": str(error)}, 502
