"""`make run`'s HTTP server with many connections: bounded, and no request blocks another."""

from __future__ import annotations

import socket
import threading
from unittest.mock import patch

from dev.local import gateway
from testkit import Cloud, Reply
from tests.kit.local import serving
from tests.kit.raw import HOST


def test_connections_over_the_limit_are_answered_when_others_end(cloud: Cloud) -> None:
    with patch.object(gateway, "MAX_CONNECTIONS", 2), serving(cloud) as front:
        idle = [socket.create_connection((HOST, front.port)) for _ in range(2)]
        for connection in idle:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(12) == b"HTTP/1.1 200"  # and is kept alive: no thread is free
        replies = list[Reply]()
        late = threading.Thread(target=lambda: replies.append(front.http("GET", "/health")))
        late.start()
        late.join(0.3)
        assert replies == []

        for connection in idle:
            connection.close()
        late.join(20)

    assert [reply.status for reply in replies] == [200]


def test_waits_over_the_limit_are_answered_at_once(cloud: Cloud) -> None:
    for limit, applied in ((0, None), (1, "wait=2")):
        with patch.object(gateway, "MAX_WAITS", limit), serving(cloud) as front:
            order_id = cloud.place("cook_nuggets", {"pieces": 1})["id"]
            for _ in range(3):  # one after the other: each wait ends before the next
                reply = front.http("GET", f"/orders/{order_id}", headers={"Prefer": "wait=2"})
                assert (reply.status, reply.headers.get("Preference-Applied")) == (200, applied)
