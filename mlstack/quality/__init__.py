"""Drift detection, quality figures, and the reference that both are measured against."""
