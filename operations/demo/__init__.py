"""The demonstrations; they use several services and may import all of them."""
