"""Prepare the values of the status page."""

from datetime import UTC, datetime
from typing import Any

from mlstack.contract import Contract
from mlstack.errors import listing
from mlstack.quality.results import METHOD_TITLES, Quality, explain_outcomes
from monitoring.evidently_service.monitor import Monitor

_FIGURES = (
    ("rmse", "rmse"),
    ("logloss", "logloss"),
    ("auc", "AUC"),
    ("calibration_error", "calibration error"),
    ("coverage", "share of the rows"),
)


class Page:
    """The status page."""

    def __init__(self, monitor: Monitor, contract: Contract) -> None:
        self._monitor, self._contract = monitor, contract

    def verdict(self) -> str:
        """Summarise the drift result in a sentence, or say why there is none."""
        state = self._monitor.state
        if state.calculation is None:
            return state.reason
        drift = state.calculation.drift
        drifted = drift.drifted_features
        if not drifted:
            return f"no drift in {drift.rows} rows"
        count = len(drift.features)
        return f"{len(drifted)} of {count} features drifted: {listing(drifted)}"

    def template_values(self) -> dict[str, Any]:
        """Return the values for the template."""
        monitor, state = self._monitor, self._monitor.state
        calculation = state.calculation
        status = "waiting"
        if state.failing:
            status = "failing"
        elif calculation is not None:
            prediction = calculation.prediction
            drifted = calculation.drift.drifted or (prediction is not None and prediction.drifted)
            status = "drifted" if drifted else "calm"
        return {
            "contract": self._contract,
            "state": state,
            "calculation": calculation,
            "status": status,
            "verdict": self.verdict(),
            "meanings": {feature.name: feature.meaning for feature in self._contract.features},
            "methods": METHOD_TITLES,
            "monitor": monitor,
            "reference_rows": len(state.calculator.reference.rows) if state.calculator else None,
            "seconds_ago": (
                (datetime.now(UTC) - calculation.at).total_seconds() if calculation else None
            ),
            "too_few_outcomes": explain_outcomes(calculation.outcomes) if calculation else "",
            "too_few_predictions": (
                f"too few predictions ({calculation.predictions})"
                if calculation and calculation.estimated is None
                else ""
            ),
            "quality": _table(
                state.calculator.reference.quality if state.calculator else None,
                calculation.measured if calculation else None,
                calculation.estimated if calculation else None,
            ),
        }


def _table(*columns: Quality | None) -> list[tuple[str, list[str]]]:
    """Return one row per metric: its label, and its formatted value in each column."""
    return [
        (label, [_format(getattr(column, name, None), name) for column in columns])
        for name, label in _FIGURES
    ]


def _format(value: float | None, name: str) -> str:
    if value is None:
        return "-"
    return f"{value:.0%}" if name == "coverage" else f"{value:.3f}"
