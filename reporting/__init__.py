"""Reports on recent predictions, and makes the pages that people read."""
