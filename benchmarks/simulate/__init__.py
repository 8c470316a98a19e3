"""Simulate a stack under load, in steps of a second: `make simulate ORDERS_PER_S=10000`."""
