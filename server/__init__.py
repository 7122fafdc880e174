"""The servers: thin layers over `mlstack.deployment.predictor`."""
