"""The templates of model cards' pages."""

from pathlib import Path

from mlstack.web.page_templates import page_templates

templates = page_templates(Path(__file__).with_name("templates"))
