"""Shared by the notebooks: their table, charts and sentences, and a runner."""
