"""Command line: run Orderline on this machine, deploy it, place orders. Not in the Lambda package."""
