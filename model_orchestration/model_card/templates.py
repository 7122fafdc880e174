"""The templates of model cards' pages."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlstack.errors import listing
from mlstack.settings import ROOT

templates = Environment(
    # The style sheet is inlined, so that a page can be opened as a file.
    loader=FileSystemLoader(
        [Path(__file__).with_name("templates"), ROOT / "mlstack" / "web" / "static"]
    ),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
templates.filters["listing"] = listing
