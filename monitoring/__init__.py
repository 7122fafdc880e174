"""Monitors the deployed model and displays the results."""
