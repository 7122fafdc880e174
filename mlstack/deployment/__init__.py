"""Deployment: the record, the watcher that follows it, and the predictor."""
