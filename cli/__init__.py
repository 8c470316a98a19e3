"""Command line: run Orderline on this machine, deploy it, place orders. Not deployed to Lambda."""
