"""Benchmarks of Orderline and its peers: `make bench`. Method and results: docs/performance.md."""
