"""Compare predictions with a reference; export drift and quality to Prometheus."""
