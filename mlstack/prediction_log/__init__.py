"""The prediction log: stored predictions and outcomes, the spool, and MongoDB."""
