"""Score a table through the deployed run: `make score`."""
