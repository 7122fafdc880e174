"""Grafana's dashboards, checked without Grafana."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlstack.settings import ROOT

GRAFANA = ROOT / "monitoring" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))

# What Grafana puts in for its own variables, on an hour's view at a step of a minute.
_BUILT_IN = {"$__rate_interval": "70s", "$__interval": "60s", "$__range": "1h"}


@dataclass(frozen=True)
class Query:
    """A panel's query.

    Args:
        panel: The panel's title.
        ref: Its letter.
        expression: PromQL, with Grafana's variables.
        instant: Asked for now only; else for a span of time.
    """

    panel: str
    ref: str
    expression: str
    instant: bool

    @property
    def for_binary(self) -> bool:
        """Whether a data set with a binary target has such a figure."""
        return not re.search(r":(r2|deviation_share|class_rows)\b", self.expression)

    def filled(self, **variables: str) -> str:
        """Put all variables into the expression."""
        text = self.expression
        for name, value in (_BUILT_IN | {f"${k}": v for k, v in variables.items()}).items():
            text = text.replace(name, value)
        return text


def load(file: Path) -> dict[str, Any]:
    """Load a dashboard; a key that appears twice is an error."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), pairs
        return dict(pairs)

    dashboard: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=once)
    return dashboard


def queries(dashboard: dict[str, Any]) -> Iterator[Query]:
    """Yield every query of every panel."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield Query(panel["title"], target["refId"], target["expr"], target["instant"])
