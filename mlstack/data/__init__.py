"""Training tables: storing, reading, cleaning, splitting, and drawing customers from them."""
