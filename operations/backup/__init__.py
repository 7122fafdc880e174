"""Backup and restore of what cannot be made anew: predictions, MLflow, and what is deployed.

A backup is one file, a `.tar.gz`. It is written to standard output and read from standard
input, so that it lies where people keep such things, whether the services run natively or in
containers.
"""
