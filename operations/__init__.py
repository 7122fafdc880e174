"""Everything needed to run the stack."""
