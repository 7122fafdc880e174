"""The demonstrations: `make demo` and `make demo-drift`.

They walk through several services, so they may import all of them.
"""
