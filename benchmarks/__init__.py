"""Benchmarks of what the stack achieves and costs; see docs/benchmarks.md."""
