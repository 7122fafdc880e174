"""Schedule flows in Prefect, run them and follow the runs."""
