"""Render a comparison with Evidently as one HTML page that works offline.

It uses the methods and thresholds of `mlstack.quality.drift`, so that both agree. Importing this
module loads Evidently, which takes seconds.
"""

import pandas as pd
from evidently import BinaryClassification, DataDefinition, Dataset, Report
from evidently.core.metric_types import render_widgets
from evidently.core.report import Snapshot
from evidently.legacy.renderers.html_widgets import group_widget
from evidently.metrics import ValueDrift
from evidently.presets import ClassificationPreset, DataDriftPreset

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION, TARGET
from mlstack.quality.drift import comparison_method, threshold, with_labels


def drift_html(contract: Contract, reference: pd.DataFrame, current: pd.DataFrame) -> str:
    """Render drift of features and predictions, and quality if outcomes are known.

    Args:
        contract: Dataset contract.
        reference: The features as `customer_table` returns them, `PREDICTION` and `TARGET`.
        current: The same columns; `TARGET` is NaN while the outcome is unknown.

    Returns:
        An HTML page of about 4.5 MB. It omits quality when the known outcomes of either side are
        all of one class.
    """
    columns = [*contract.feature_names, PREDICTION, TARGET]
    rows = with_labels(current[columns].reset_index(drop=True), contract)
    base = with_labels(reference[columns].reset_index(drop=True), contract)
    parts = [("", _drift(contract, base, rows))]
    known, known_base = rows[rows[TARGET].notna()], base[base[TARGET].notna()]
    if known[TARGET].nunique() == known_base[TARGET].nunique() == 2:  # noqa: PLR2004 - both classes
        parts.append((f"Quality on {len(known)} known outcomes", _quality(known_base, known)))
    # A page contains 4 MB of scripts, so both parts share one page.
    widgets = [
        group_widget(title=title, widgets=snapshot._widgets)  # noqa: SLF001 - Evidently is pinned
        for title, snapshot in parts
    ]
    return str(render_widgets(widgets, as_iframe=False))


def _drift(contract: Contract, reference: pd.DataFrame, rows: pd.DataFrame) -> Snapshot:
    methods = {feature.name: comparison_method(feature) for feature in contract.features}
    # Evidently rejects columns without values.
    names = [name for name in methods if rows[name].notna().any() and reference[name].notna().any()]
    thresholds = {
        method: threshold(method, len(rows), len(reference)) for method in set(methods.values())
    }
    definition = DataDefinition(
        numerical_columns=[
            *(name for name in names if methods[name] == "wasserstein"),
            PREDICTION,
        ],
        categorical_columns=[name for name in names if methods[name] == "jensenshannon"],
    )
    report = Report(
        [
            DataDriftPreset(
                columns=names,
                per_column_method={name: methods[name] for name in names},
                per_column_threshold={name: thresholds[methods[name]] for name in names},
                # Drift of one feature counts as drift of the data set.
                drift_share=1 / len(methods),
            ),
            ValueDrift(
                column=PREDICTION,
                method="wasserstein",
                threshold=threshold("wasserstein", len(rows), len(reference)),
            ),
        ]
    )
    return report.run(
        Dataset.from_pandas(rows[[*names, PREDICTION]], data_definition=definition),
        Dataset.from_pandas(reference[[*names, PREDICTION]], data_definition=definition),
    )


def _quality(reference: pd.DataFrame, rows: pd.DataFrame) -> Snapshot:
    definition = DataDefinition(
        classification=[BinaryClassification(target=TARGET, prediction_probas=PREDICTION)],
        numerical_columns=[PREDICTION],
        categorical_columns=[TARGET],
    )
    columns = [TARGET, PREDICTION]
    return Report([ClassificationPreset()]).run(
        Dataset.from_pandas(rows[columns].astype({TARGET: int}), data_definition=definition),
        Dataset.from_pandas(reference[columns].astype({TARGET: int}), data_definition=definition),
    )
