"""Watches what the served model is asked and answers: drift and quality, for Prometheus."""
