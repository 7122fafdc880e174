"""The embedded environment: every service is a native process, without Docker."""
