"""Place orders with Orderline and follow them; needs only the standard library.

    from orderline import Orderline

    orderline = Orderline("http://127.0.0.1:8000", token)
    order = orderline.place("cook_nuggets", {"pieces": 6})
    print(orderline.wait(order["id"])["result"])

Orders are dicts as the API returns them. All errors of calls derive from CallError: NotReachable
(no answer; the call may have taken effect), RequestRejected, NotDone (still running) and
TransferFailed (a file was not uploaded or downloaded).

A server of yours that receives webhooks calls `verify`, which raises InvalidSignature.
"""

from orderline.calls import CallError, NotDone, NotReachable, RequestRejected
from orderline.client import Order, Orderline
from orderline.transfer import TransferFailed
from orderline.webhooks import InvalidSignature, verify

__all__ = [
    "CallError",
    "InvalidSignature",
    "NotDone",
    "NotReachable",
    "Order",
    "Orderline",
    "RequestRejected",
    "TransferFailed",
    "verify",
]
