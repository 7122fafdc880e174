"""Show sentences with computed figures, so that they are true for any table."""

from IPython.display import Markdown
from IPython.display import display as show


def say(text: str) -> None:
    """Show a text in Markdown."""
    show(Markdown(text))  # type: ignore[no-untyped-call]
