"""Models: the encoder, scoring, files on disk, local copies, and the way to MLflow."""
