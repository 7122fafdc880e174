"""The demonstrations `make demo` and `make demo-drift`.

They use several services, so they may import all of them.
"""
