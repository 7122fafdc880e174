"""Prepare the values of the monitoring page."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from mlstack.contract import Contract
from mlstack.contract.target import MulticlassTarget
from mlstack.errors import listing
from mlstack.quality.results import METHOD_TITLES, MulticlassQuality, Quality, explain_outcomes
from monitoring.evidently_service.monitor import Monitor
from monitoring.evidently_service.pictures import Pictures
from monitoring.evidently_service.timelines import Timelines

if TYPE_CHECKING:
    # Importing it loads Evidently, which takes seconds.
    from monitoring.evidently_service.calculation import Calculation


class Page:
    """The monitoring page."""

    def __init__(self, monitor: Monitor, contract: Contract) -> None:
        self._monitor, self._contract = monitor, contract
        self._pictures = Pictures(contract)
        self._timelines = Timelines(contract, monitor.history, monitor.deployment, monitor.fired)

    def verdict(self) -> str:
        """Summarise the drift result in a sentence, or say why there is none."""
        state = self._monitor.state
        if state.calculation is None:
            return state.reason
        drift = state.calculation.drift
        drifted = drift.drifted_features
        if not drifted:
            return f"no drift in {drift.rows:,} rows"
        count = len(drift.features)
        return f"{len(drifted)} of {count} features drifted: {listing(drifted)}"

    def status(self) -> Literal["waiting", "failing", "drifted", "calm"]:
        """Return the result in one word."""
        state = self._monitor.state
        if state.failing:
            return "failing"
        if state.calculation is None:
            return "waiting"
        prediction = state.calculation.prediction
        drifted = state.calculation.drift.drifted or (prediction and prediction.drifted)
        return "drifted" if drifted else "calm"

    def template_values(self) -> dict[str, Any]:
        """Return the values for the template."""
        monitor, state = self._monitor, self._monitor.state
        calculation = state.calculation
        reference = state.calculator.reference if state.calculator else None
        return {
            "contract": self._contract,
            "state": state,
            "calculation": calculation,
            "status": self.status(),
            "verdict": self.verdict(),
            "meanings": {feature.name: feature.meaning for feature in self._contract.features},
            "methods": METHOD_TITLES,
            "history": self._timelines.draw(state, monitor.storage_fault),
            "pictures": self._pictures.of(calculation) if calculation else [],
            "monitor": monitor,
            "reference_rows": len(reference.rows) if reference else None,
            "seconds_ago": (
                (datetime.now(UTC) - calculation.at).total_seconds() if calculation else None
            ),
            "too_few_outcomes": explain_outcomes(calculation.outcomes) if calculation else "",
            "no_estimate": self._no_estimate(calculation) if calculation else "",
            "confusion": self._confusion(calculation.measured if calculation else None),
            "quality": _table(
                reference.quality if reference else None,
                calculation.measured if calculation else None,
                calculation.estimated if calculation else None,
            ),
        }

    def _no_estimate(self, calculation: "Calculation") -> str:
        """Say why there is no estimate; empty if there is one."""
        if calculation.estimated is not None:
            return ""
        if calculation.prediction is None:
            return f"too few predictions ({calculation.predictions})"
        return "not available, because a predicted number says nothing about its own error"

    def _confusion(self, quality: Quality | None) -> list[tuple[str, tuple[int, ...]]]:
        """Return each class with its rows by predicted class; empty if it is not known."""
        target = self._contract.target
        if not isinstance(quality, MulticlassQuality) or not isinstance(target, MulticlassTarget):
            return []
        return list(zip(target.classes, quality.confusion, strict=True))


def _table(*columns: Quality | None) -> list[tuple[str, list[str]]]:
    """Return one row per figure: its label, and its value in each column."""
    figures = [{} if each is None else _figures(each) for each in columns]
    labels = dict.fromkeys(label for column in figures for label in column)
    return [(label, [column.get(label, "-") for column in figures]) for label in labels]


def _figures(quality: Quality) -> dict[str, str]:
    return {**quality.figures(), "share of the rows": f"{quality.coverage:.0%}"}
