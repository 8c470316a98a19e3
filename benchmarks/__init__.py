"""Orderline beside its peers: `make bench`. What is measured, how, and what came out: docs/performance.md."""
