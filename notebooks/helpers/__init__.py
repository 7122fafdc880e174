"""Helpers of the notebooks: table, charts, computed prose, and a runner."""
