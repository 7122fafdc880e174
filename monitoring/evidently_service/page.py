"""The page's words: what a person wants to know at a glance."""

from datetime import UTC, datetime
from typing import Any

from mlstack.contract import Contract
from mlstack.quality.results import Quality
from monitoring.evidently_service.monitor import Monitor

_METHODS = {
    "wasserstein": "Wasserstein distance, in standard deviations",
    "jensenshannon": "Jensen-Shannon distance",
}
_FIGURES = (
    ("rmse", "rmse"),
    ("logloss", "logloss"),
    ("auc", "AUC"),
    ("calibration_error", "calibration error"),
    ("coverage", "share of the rows"),
)


class Page:
    """What the page shows.

    Args:
        monitor: What knows everything.
        contract: What a customer is.
    """

    def __init__(self, monitor: Monitor, contract: Contract) -> None:
        self._monitor, self._contract = monitor, contract

    def word(self) -> str:
        """The verdict in a sentence, or why there is none."""
        state = self._monitor.state
        found = state.calculation
        if found is None:
            return state.reason
        drifted = found.drift.drifted_features
        if not drifted:
            return f"no drift in {found.drift.rows} rows"
        count = len(found.drift.features)
        return f"{len(drifted)} of {count} features drifted: {', '.join(drifted)}"

    def values(self) -> dict[str, Any]:
        """For the template."""
        monitor, state = self._monitor, self._monitor.state
        found = state.calculation
        mood = "waiting"
        if state.failing:
            mood = "failing"
        elif found is not None:
            said = found.prediction is not None and found.prediction.drifted
            mood = "drifted" if found.drift.drifted or said else "calm"
        return {
            "contract": self._contract,
            "state": state,
            "found": found,
            "mood": mood,
            "word": self.word(),
            "meanings": {feature.name: feature.meaning for feature in self._contract.features},
            "methods": _METHODS,
            "monitor": monitor,
            "reference_rows": len(state.calculator.reference.rows) if state.calculator else None,
            "seconds_ago": (datetime.now(UTC) - found.at).total_seconds() if found else None,
            "quality": _table(
                state.calculator.reference.quality if state.calculator else None,
                found.measured if found else None,
                found.estimated if found else None,
            ),
        }


def _table(*columns: Quality | None) -> list[tuple[str, list[str]]]:
    """A row a figure: its name, and what each column has of it."""
    return [
        (label, [_shown(getattr(column, name, None), name) for column in columns])
        for name, label in _FIGURES
    ]


def _shown(value: float | None, name: str) -> str:
    if value is None:
        return "-"
    return f"{value:.0%}" if name == "coverage" else f"{value:.3f}"
