"""Render Markdown with computed values, so that prose matches the data."""

from IPython.display import Markdown
from IPython.display import display as show


def say(text: str) -> None:
    """Render a text as Markdown."""
    show(Markdown(text))  # type: ignore[no-untyped-call]
