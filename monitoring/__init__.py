"""Watches the running model, and shows the results to people."""
