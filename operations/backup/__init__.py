"""Back up and restore predictions, MLflow and the deployment record.

A backup is a `.tar.gz` file. It is written to standard output and read from standard input, so the
caller owns the file even if the services run in containers.
"""
