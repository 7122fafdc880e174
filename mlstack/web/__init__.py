"""What every HTTP service shares: strict JSON, request bodies, limits, bearer tokens."""
