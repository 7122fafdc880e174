"""The containers' environments, `local` and `cloud`: every service under Docker compose."""
