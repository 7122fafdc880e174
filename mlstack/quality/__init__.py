"""Detects drift against a reference, and measures and estimates model quality."""
