"""`make run`: the stack on this machine, with a local cloud and a local HTTP server."""
