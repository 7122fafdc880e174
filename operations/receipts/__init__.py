"""Show and prove what was predicted: `make explain`."""
