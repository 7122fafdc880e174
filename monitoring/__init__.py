"""What watches the live side, and shows it to people."""
