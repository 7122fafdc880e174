"""Backup and restore of what cannot be made again: predictions, MLflow, the deployment record.

A backup is one `.tar.gz` file. It is written to standard output and read from standard input, so
that it is a file of the caller whether the services run natively or in containers.
"""
