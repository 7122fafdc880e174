"""Models: encoding, scoring, files on disk, local copies, and access to MLflow."""
