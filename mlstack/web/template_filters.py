"""Filters that the templates of several packages use."""

from markupsafe import Markup, escape


def breakable(name: str) -> Markup:
    """Escape a name, and let its lines break after underscores: it has no blanks."""
    return escape(name).replace("_", Markup("_<wbr>"))
