"""Local HTTP server: Chalice's local server, on a listening socket of the parent process.

After a change of the code, a new server takes over the socket before the old one ends, so no
connection is refused.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
import threading

from chalice.cli.factory import CLIFactory

from dev.local import gateway
from dev.local.cloud import HOST, follow
from dev.packaging.package import ROOT


def serve(listening: socket.socket, stage: str) -> None:
    """Serve until SIGTERM. Print `ready` on standard output once the app is loaded."""
    parent = sys.stdout
    sys.stdout = sys.stderr  # the parent reads only `ready`; log lines go to http.log
    factory = CLIFactory(str(ROOT))
    config = factory.create_config_obj(stage)
    server = gateway.server(factory.load_chalice_app(), config, HOST, 0)
    server.socket.close()
    server.socket = listening
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    parent.write("ready\n")
    parent.flush()
    server.serve_forever(poll_interval=0.1)


def allow_many_connections() -> None:
    """Raise the limit of open files: a connection needs one to the client and one to the cloud."""
    required = 2 * gateway.MAX_CONNECTIONS + 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < required:
        limit = required if hard == resource.RLIM_INFINITY else min(required, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


if __name__ == "__main__":
    allow_many_connections()
    follow(parent=int(sys.argv[2]))
    serve(socket.socket(fileno=int(sys.argv[1])), stage="dev")
