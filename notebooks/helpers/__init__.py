"""What the notebooks share: their table, the look of their charts, and how they are run."""
