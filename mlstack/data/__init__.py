"""Training tables: store, read, clean, split; and customers drawn from them."""
