"""Report on recent predictions and publish the reports as web pages."""
