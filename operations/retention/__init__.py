"""Removes data beyond its retention period."""
