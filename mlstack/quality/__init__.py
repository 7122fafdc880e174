"""Detect drift against a reference, and measure and estimate model quality."""
