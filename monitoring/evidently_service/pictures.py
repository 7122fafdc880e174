"""Draw the monitoring page's charts, once for each calculation."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlstack.contract import Contract, DateFeature, Feature
from mlstack.quality.results import ColumnDrift

if TYPE_CHECKING:
    # Importing it loads Evidently, which takes seconds.
    from monitoring.evidently_service.calculation import Calculation


@dataclass(frozen=True, slots=True)
class Picture:
    """A column's chart and what stands above it."""

    column: str
    meaning: str
    drift: ColumnDrift
    svg: str


class Pictures:
    """Charts of the newest calculation that a page asked for. Thread-safe.

    Nobody may be looking, so nothing is drawn before a page is requested.
    """

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._lock = threading.Lock()
        self._drawn: tuple[Calculation, Sequence[Picture]] | None = None

    def of(self, calculation: "Calculation") -> Sequence[Picture]:
        """Return a chart of the predictions and of each feature, the drifted ones first."""
        with self._lock:
            if self._drawn is None or self._drawn[0] is not calculation:
                self._drawn = calculation, self._draw(calculation)
            return self._drawn[1]

    def _draw(self, calculation: "Calculation") -> list[Picture]:
        # Importing matplotlib takes a second; the service accepts rows during that time.
        from monitoring.evidently_service.distribution_chart import (  # noqa: PLC0415 - see above
            draw_distribution,
        )

        meanings = {feature.name: _meaning(feature) for feature in self._contract.model_features}
        columns = [
            (each, meanings[each.column], calculation.features[each.column])
            for each in sorted(calculation.drift.features, key=lambda each: not each.drifted)
        ]
        if calculation.prediction is not None and calculation.predicted is not None:
            meaning = f"Predictions ({calculation.predictions:,} rows of this run)"
            columns.insert(0, (calculation.prediction, meaning, calculation.predicted))
        return [
            Picture(
                drift.column,
                meaning,
                drift,
                draw_distribution(
                    f"chart{number}",
                    f"{drift.column}: the window beside the reference",
                    distribution,
                    drifted=drift.drifted,
                ),
            )
            for number, (drift, meaning, distribution) in enumerate(columns)
        ]


def _meaning(feature: Feature) -> str:
    if isinstance(feature, DateFeature):
        return f"{feature.meaning}; days since {feature.since}"
    return f"{feature.meaning} ({feature.unit})" if feature.unit else feature.meaning
