"""Training tables: store, read, clean and split them, and draw customers from them."""
