"""The HTTP server: a thin door to `mlstack.deployment.predictor`."""
