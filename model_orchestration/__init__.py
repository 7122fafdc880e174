"""The training flow: search, tracking, registration, and how it is applied and started."""
