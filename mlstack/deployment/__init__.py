"""What is deployed: the deployment record, the watcher that follows it, and the predictor."""
