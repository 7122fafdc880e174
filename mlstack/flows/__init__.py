"""Schedules flows in Prefect, and runs and follows them."""
