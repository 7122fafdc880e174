"""Draft a contract from a table (`make contract`)."""
