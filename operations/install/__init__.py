"""Installs locked packages: on this machine for `make`, and in images."""
