"""The training flow: search, tracking, registration, and its schedule."""
