"""Notebooks, their helpers, and the generator of the synthetic sample."""
