"""Everything about running the stack."""
