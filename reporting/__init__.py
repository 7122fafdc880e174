"""The reporting flow and the pages that people read: one per report, and their index."""
