"""The embedded environment: every service as a native process, no Docker needed."""
