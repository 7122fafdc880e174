"""Checks of the machine that both environments share."""
