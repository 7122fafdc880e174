"""Draws and evaluates the synthetic sample of the raw table."""
