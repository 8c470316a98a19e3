"""A Flask app: take an email, answer at once, and show it once it has been read."""

from __future__ import annotations

from typing import Any

from flask import Flask, request, url_for
from orderline import NotReachable, RequestRejected

from examples.flask_app import placing

FIXABLE = {404, 409, 413, 422}  # of Orderline's statuses
app = Flask(__name__)


@app.post("/emails/<upload>")
def upload_email(upload: str) -> Any:
    order_id = placing.read_email(placing.connect(), upload, request.get_data(as_text=True))
    return {"state": url_for("show_email", order_id=order_id)}, 202


@app.get("/emails/orders/<order_id>")
def show_email(order_id: str) -> Any:
    return placing.email_state(placing.connect(), order_id)


@app.errorhandler(RequestRejected)
def order_rejected(error: RequestRejected) -> Any:
    """Pass on what the browser can fix, such as a message that is too large."""
    return {"error": str(error)}, error.status if error.status in FIXABLE else 502


@app.errorhandler(NotReachable)
def orderline_unreachable(error: NotReachable) -> Any:
    """Ask to send the upload again, which is safe: its id is the idempotency key."""
    return {"error": str(error)}, 503, {"Retry-After": "5"}
