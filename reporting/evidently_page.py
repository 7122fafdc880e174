"""Render a comparison with Evidently as one HTML page that works offline.

It compares each column as `mlstack.quality.drift` does, so that both agree. Importing this module
loads Evidently, which takes seconds.
"""

from dataclasses import replace
from math import floor, log10

import numpy as np
import pandas as pd
from evidently import (
    BinaryClassification,
    DataDefinition,
    Dataset,
    MulticlassClassification,
    Regression,
    Report,
)
from evidently.core.container import MetricContainer
from evidently.core.metric_types import Metric, render_widgets
from evidently.core.report import Snapshot
from evidently.legacy.renderers.html_widgets import group_widget
from evidently.metrics import MAE, RMSE, AbsMaxError, MeanError, R2Score, ValueDrift
from evidently.presets import ClassificationPreset, DataDriftPreset

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from mlstack.quality.distances import IN_DEVIATIONS
from mlstack.quality.drift import (
    ComparedColumn,
    compared_column,
    comparison_method,
    with_labels,
)
from mlstack.quality.figures import has_auc
from mlstack.quality.results import MIN_OUTCOMES
from mlstack.quality.targets import prediction_method

_DIGITS = 12
"""Digits of a number that a histogram can tell apart; NumPy refuses narrower bins."""


def drift_html(contract: Contract, reference: pd.DataFrame, current: pd.DataFrame) -> str:
    """Render drift of features and predictions, and quality if outcomes are known.

    Args:
        contract: Dataset contract.
        reference: The features as `customer_table` returns them, and the columns of
            `outcome_table`.
        current: The same columns.

    Returns:
        An HTML page of about 4.5 MB. It omits quality when either side has too few outcomes.
    """
    columns = [*contract.feature_names, PREDICTION, TARGET]
    rows = with_labels(current[columns].reset_index(drop=True), contract)
    base = with_labels(reference[columns].reset_index(drop=True), contract)
    parts = [("", _drift(contract, base, rows))]
    known, known_base = rows[rows[TARGET].notna()], base[base[TARGET].notna()]
    if all(_is_enough(contract.target, side) for side in (known, known_base)):
        drawn = _quality(contract.target, known_base, known)
        parts.append((f"Quality on {len(known)} known outcomes", drawn))
    # A page contains 4 MB of scripts, so both parts share one page.
    widgets = [
        group_widget(title=title, widgets=snapshot._widgets)  # noqa: SLF001 - Evidently is pinned
        for title, snapshot in parts
    ]
    return str(render_widgets(widgets, as_iframe=False))


def _drift(contract: Contract, reference: pd.DataFrame, rows: pd.DataFrame) -> Snapshot:
    methods = {feature.name: comparison_method(feature) for feature in contract.model_features}
    columns = dict(
        _plottable(name, compared_column(method, rows[name], reference[name]))
        for name, method in methods.items()
        # Evidently rejects columns without values.
        if rows[name].notna().any() and reference[name].notna().any()
    )
    features = list(columns)
    prediction, chances = _plottable(
        PREDICTION,
        compared_column(
            prediction_method(contract.target), rows[PREDICTION], reference[PREDICTION]
        ),
    )
    columns[prediction] = chances
    tests = {
        name: IN_DEVIATIONS.name if column.method == "wasserstein" else column.method
        for name, column in columns.items()
    }
    thresholds = {name: column.threshold for name, column in columns.items()}
    definition = DataDefinition(
        numerical_columns=[n for n, column in columns.items() if column.method == "wasserstein"],
        categorical_columns=[n for n, column in columns.items() if column.method != "wasserstein"],
    )
    report = Report(
        [
            DataDriftPreset(
                columns=features,
                per_column_method={name: tests[name] for name in features},
                per_column_threshold={name: thresholds[name] for name in features},
                # Drift of one feature counts as drift of the data set.
                drift_share=1 / len(contract.model_features),
            ),
            ValueDrift(
                column=prediction, method=tests[prediction], threshold=thresholds[prediction]
            ),
        ]
    )
    sides = (
        pd.DataFrame({name: getattr(column, side) for name, column in columns.items()})
        for side in ("current", "reference")
    )
    # Evidently computes correlations too, which a constant column does not have.
    with np.errstate(divide="ignore", invalid="ignore"):
        return report.run(
            *(Dataset.from_pandas(side, data_definition=definition) for side in sides)
        )


def _plottable(name: str, column: ComparedColumn) -> tuple[str, ComparedColumn]:
    """Round numbers, and express extreme ones in another unit, so that NumPy can plot them."""
    if column.method != "wasserstein":
        return name, column
    largest = max(column.current.abs().max(), column.reference.abs().max())
    power = floor(log10(largest)) if largest else 0
    if abs(power) < _DIGITS:
        unit, decimals = 1.0, _DIGITS - power
    else:
        unit, decimals = 10.0**power, _DIGITS
        name = f"{name} (in units of {unit:g})"
    current, reference = (
        (side / unit).round(decimals) for side in (column.current, column.reference)
    )
    return name, replace(column, current=current, reference=reference)


def _is_enough(target: Target, known: pd.DataFrame) -> bool:
    """Whether there are enough outcomes for the figures that Evidently draws."""
    if len(known) < MIN_OUTCOMES:
        return False
    match target:
        case BinaryTarget():
            return has_auc(known[TARGET].to_numpy("int64"))
        case RegressionTarget():
            return True
        case MulticlassTarget():
            # It divides by the number of outcomes of each class.
            return set(known[TARGET]) == set(target.classes)


def _quality(target: Target, reference: pd.DataFrame, rows: pd.DataFrame) -> Snapshot:
    metrics: list[Metric | MetricContainer] = [ClassificationPreset()]
    match target:
        case BinaryTarget():
            definition = DataDefinition(
                classification=[BinaryClassification(target=TARGET, prediction_probas=PREDICTION)],
                numerical_columns=[PREDICTION],
                categorical_columns=[TARGET],
            )
        case RegressionTarget():
            # Its preset has percentages too, which explode near an outcome of 0.
            metrics = [
                MeanError(error_plot=True),
                MAE(error_distr=True),
                RMSE(error_distr=False),
                R2Score(),
                AbsMaxError(),
            ]
            definition = DataDefinition(
                regression=[Regression(target=TARGET, prediction=PREDICTION)],
                numerical_columns=[PREDICTION, TARGET],
            )
        case MulticlassTarget():
            definition = DataDefinition(
                classification=[
                    MulticlassClassification(target=TARGET, prediction_labels=PREDICTION)
                ],
                categorical_columns=[PREDICTION, TARGET],
            )
    types = {TARGET: int} if isinstance(target, BinaryTarget) else {}
    sides = (side[[TARGET, PREDICTION]].astype(types) for side in (rows, reference))
    return Report(metrics).run(
        *(Dataset.from_pandas(side, data_definition=definition) for side in sides)
    )
