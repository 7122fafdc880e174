"""Models: the encoder, scoring, files on disk, and verified local copies."""
