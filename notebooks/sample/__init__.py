"""Draw and evaluate the synthetic sample of the raw table."""
