"""Code shared by HTTP services: strict JSON, request checks, limits, tokens."""
