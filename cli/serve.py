"""The HTTP front on the laptop: `chalice local`'s own server, on a socket that the parent listens on already.

So the code can be changed without a refused connection: a new server takes over the socket, then the old one ends.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading

from chalice.cli.factory import CLIFactory

from cli import gateway
from cli.cloud import HOST, follow
from cli.package import ROOT


def serve(listening: socket.socket, stage: str) -> None:
    """Serve until SIGTERM. Says `ready` on standard output once the app is loaded."""
    parent = sys.stdout
    sys.stdout = sys.stderr  # the parent reads `ready` and no more; log lines are for http.log
    factory = CLIFactory(str(ROOT))
    config = factory.create_config_obj(stage)
    server = gateway.server(factory.load_chalice_app(), config, HOST, 0)
    server.socket.close()
    server.socket = listening
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    parent.write("ready\n")
    parent.flush()
    server.serve_forever(poll_interval=0.1)


if __name__ == "__main__":
    follow(parent=int(sys.argv[2]))
    serve(socket.socket(fileno=int(sys.argv[1])), stage="dev")
