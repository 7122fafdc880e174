"""Benchmarks of what the stack achieves and costs; see docs/performance.md."""
