"""Templates of pages that are written as files: reports and model cards."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mlstack.errors import listing
from mlstack.web.template_filters import breakable


def page_templates(folder: Path) -> Environment:
    """Load the templates in a folder; what they insert is escaped."""
    # Common style sheets are inlined, so that a page can be opened as a file.
    loader = FileSystemLoader([folder, Path(__file__).with_name("static")])
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"listing": listing, "breakable": breakable}
    return environment
