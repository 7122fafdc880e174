"""The synthetic sample of the raw table: how it is drawn and judged."""
