"""Reports on recent predictions and publishes the reports as web pages."""
