"""Our tools: run Orderline on this machine, deploy it, check it. Not deployed to Lambda."""
