"""Sentences of the notebooks whose figures are computed, so that they hold for the table shown."""

from IPython.display import Markdown
from IPython.display import display as show


def say(text: str) -> None:
    """Shows a text in Markdown."""
    show(Markdown(text))  # type: ignore[no-untyped-call]
