"""Read what people paste to name an MLflow run."""

import re
from typing import Any
from urllib.parse import unquote

from mlstack.errors import echo
from mlstack.pasted_text import CLOSING_QUOTES, INVISIBLE, OPENING_QUOTES

RUN_ID_PATTERN = "^[0-9a-f]{32}$"
"""Regular expression for an MLflow run id."""

_WHAT_TO_COPY = "copy a run's id from MLflow: 32 digits and letters a to f"

# What comes along when a text is copied: spaces of any kind, quotes, marks around it.
_AROUND = f" \t\r\n\"'`<>()[]{{}},.;{INVISIBLE}{OPENING_QUOTES}{CLOSING_QUOTES}"
_LABEL = re.compile(r"(export\s+)?run[ _-]?id\s*[:=]", re.IGNORECASE)
_TOKEN = re.compile(r"(?<![\w-])(?:m-)?[0-9a-f]{32}(?![\w-])", re.IGNORECASE)
_PREFIX = re.compile(r"[0-9a-f]{4,31}", re.IGNORECASE)
_VERSION = re.compile(r"models:/+([^/@]+)/([1-9][0-9]*|latest)(?:/.*)?")
_ALIAS = re.compile(r"models:/+([^/@]+)@([^/@]+)(?:/.*)?")
_VERSION_PAGE = re.compile(r"https?://.*#/models/([^/?]+)/versions/([1-9][0-9]*)(?:[/?].*)?")
_EXPERIMENT_PAGE = re.compile(r"https?://.*#/experiments/.*")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def is_run_id(value: Any) -> bool:
    """Return whether a value looks like an MLflow run id."""
    return isinstance(value, str) and re.fullmatch(RUN_ID_PATTERN, value) is not None


def read_run(text: str) -> str:
    """Understand a pasted run: an id, a `runs:/` or `models:/` URI, or the address of a page.

    Returns:
        The run id, or what only MLflow can turn into one (`mlflow_api.find_run_id`): the
        beginning of an id, `m-...`, `models:/NAME/VERSION` or `models:/NAME@ALIAS`.

    Raises:
        ValueError: the text does not name one run; the message says what was given.
    """
    given = unquote(text).strip(_AROUND)
    given = _LABEL.sub("", given, count=1).strip(_AROUND) if _LABEL.match(given) else given
    tokens = {token.group().lower() for token in _TOKEN.finditer(given)}
    models = {token for token in tokens if token.startswith("m-")}
    for found in (tokens - models, models):
        if len(found) == 1:
            return found.pop()
        if found:
            raise ValueError(f"{echo(text)} names {len(found)} runs: choose one")
    if version := _VERSION.fullmatch(given) or _VERSION_PAGE.fullmatch(given):
        return f"models:/{version[1]}/{version[2]}"
    if alias := _ALIAS.fullmatch(given):
        return f"models:/{alias[1]}@{alias[2]}"
    if _PREFIX.fullmatch(given):
        return given.lower()
    raise ValueError(f"{echo(text)} is not a run id{_guess(given)}; {_WHAT_TO_COPY}")


def _guess(given: str) -> str:
    """Say what a text is instead of a run id, if that is certain."""
    if _UUID.fullmatch(given):
        return " but has the form of a prediction's"
    if _EXPERIMENT_PAGE.fullmatch(given):
        return " but the address of an experiment"
    if given.startswith("models:/"):
        return ": a model is named by models:/NAME/VERSION or models:/NAME@ALIAS"
    if re.fullmatch(r"[0-9a-fA-F]+", given):
        return f": it has {len(given)} digits and letters"
    return ""
