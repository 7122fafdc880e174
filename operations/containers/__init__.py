"""The container-based environments, `local` and `cloud`, under Docker compose."""
