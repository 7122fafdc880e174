"""Compares predictions with the reference, and exports drift and quality to Prometheus."""
