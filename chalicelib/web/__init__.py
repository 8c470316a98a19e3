"""The HTTP layer: requests in, responses out.

The layers below know orders and errors, but no status codes.
"""
