"""Library that the services share; CONTRIBUTING.md lists its packages, lowest first."""
