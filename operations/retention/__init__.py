"""Remove data beyond its retention period."""
