"""Compares the HTTP server with its peers: `make bench-serving`."""
