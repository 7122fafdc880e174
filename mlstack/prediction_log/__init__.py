"""The prediction log: predictions, outcomes, the spool, and MongoDB."""
