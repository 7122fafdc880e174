"""The synthetic sample of the raw table: how it is drawn, and how good it is."""
