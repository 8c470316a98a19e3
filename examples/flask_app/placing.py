"""Place orders for the Flask app: all that knew Celery, and all that knows Orderline."""

from __future__ import annotations

import os
from typing import Any

from orderline import Orderline

PATIENCE_S = 2  # a person waits for the page


def connect() -> Orderline:
    """Return a client for one request: it is cheap to make and not safe for several threads."""
    url, token = os.environ["ORDERLINE_URL"], os.environ["ORDERLINE_TOKEN"]
    return Orderline(url, token, patience_s=PATIENCE_S)


def read_email(orderline: Orderline, upload: str, message: str) -> str:
    """Order the email to be read, and return the order's id.

    Before: `return process_email.delay(message).id`. The idempotency key is the upload's own id:
    if the browser, a proxy or this app sends it twice, it is still one order.
    """
    order = orderline.place("process_email", {"message": message}, key=f"upload-{upload}")
    return str(order["id"])


def email_state(orderline: Orderline, order_id: str) -> dict[str, Any]:
    """Return what the page shows. Before: `AsyncResult(order_id).state` and `.result`."""
    order = orderline.get(order_id)
    return {"status": order["status"], "email": order["result"], "error": order["error"]}
