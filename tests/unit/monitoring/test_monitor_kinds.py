"""Drift, quality and gauges of predicted numbers and classes; and their report."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from mlstack.contract.prediction_fields import CREATED_AT, PREDICTION, TARGET
from mlstack.contract.prediction_fields import RUN_ID as RUN
from mlstack.data import dataset
from mlstack.data.customer_table import customer_table
from mlstack.prediction_log.sampling import Sample
from monitoring.evidently_service.calculation import Calculation, Calculator
from monitoring.evidently_service.metrics import Metrics
from monitoring.evidently_service.monitor import Monitor, State
from monitoring.evidently_service.page import Page
from monitoring.evidently_service.rows import Row
from monitoring.evidently_service.window import Snapshot
from reporting.comparison import Comparison, _rescore
from reporting.evidently_page import drift_html
from reporting.pages import report_page
from reporting.report import Baseline, Report, Window
from reporting.reporter import build_report
from tests.support.monitors import monitor_in
from tests.support.target_kinds import RUN_ID, raw_rows, reference_of, trained

ROWS, KNOWN = 400, 250
NEW_KINDS = ("regression", "multiclass")


def recent(kind: str, *, far: bool = False) -> pd.DataFrame:
    """Return newer predictions, most of them with an outcome; `far` ones are of long ways."""
    found = trained(kind)
    rows = dataset.clean(raw_rows(kind, 4 * ROWS, seed=9), found.contract)
    rows = (rows[rows["distance"] > 70] if far else rows).head(ROWS).reset_index(drop=True)
    features = customer_table(rows, found.contract)
    scored = features.join(found.model.score_table(features))
    scored[TARGET] = rows[found.contract.target.name].where(rows.index < KNOWN, None)
    scored[RUN], scored[CREATED_AT] = RUN_ID, datetime.now(UTC)
    return scored


def _calculate(kind: str, *, far: bool = False) -> tuple[Calculator, Calculation]:
    found = trained(kind)
    calculator = Calculator(reference_of(found))
    names = found.contract.feature_names
    rows = [
        Row(
            customer={name: row[name] for name in names},
            prediction=row[PREDICTION],
            target=None if pd.isna(row[TARGET]) else row[TARGET],
            run_id=RUN_ID,
            more={"probabilities": row["_more.probabilities"]} if kind == "multiclass" else {},
        )
        for row in recent(kind, far=far).to_dict("records")
    ]
    return calculator, calculator.calculate(Snapshot(1, rows))


def _monitor(calculator: Calculator, calculation: Calculation) -> Monitor:
    return monitor_in(State(RUN_ID, calculator, calculation, ""), ROWS)


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_predictions_drift_with_the_customers(kind: str) -> None:
    """Customers like those of the training are no drift, others are."""
    _, calm = _calculate(kind)
    _, moved = _calculate(kind, far=True)
    for calculation, drifted in ((calm, False), (moved, True)):
        assert calculation.prediction is not None
        assert calculation.prediction.drifted is drifted
    assert calm.prediction is not None
    assert calm.prediction.method == ("wasserstein" if kind == "regression" else "jensenshannon")


@pytest.mark.parametrize(
    ("kind", "gauges"),
    [
        (
            "regression",
            [
                "quality:mae",
                "quality:rmse",
                "quality:r2",
                'quality:deviation_share{over="10"}',
                "quality:coverage",
                "reference_quality:rmse",
                "prediction:mean",
                'prediction:bucket{le="+Inf"}',
            ],
        ),
        (
            "multiclass",
            [
                "quality:logloss",
                "quality:accuracy",
                'quality:confusion{outcome="lost",predicted="delivered"}',
                "estimated_quality:logloss",
                "reference_quality:logloss",
                'prediction:class_rows{class="lost"}',
            ],
        ),
    ],
)
def test_kind_has_its_gauges(kind: str, gauges: list[str]) -> None:
    """An estimate of numbers, and a mean of classes, do not exist."""
    calculator, calculation = _calculate(kind)
    contract = calculator.reference.contract
    rendered = Metrics(_monitor(calculator, calculation), contract).render().decode()
    rendered = re.sub(r'(dataset="\w+",?|,dataset="\w+"|\{\})', "", rendered.replace("{}", ""))
    names = {line.rsplit(" ", 1)[0].replace("{}", "") for line in rendered.splitlines()}
    assert {f"evidently:{gauge}" for gauge in gauges} <= names
    assert ("estimated_quality" in rendered) is (kind == "multiclass")
    assert ("evidently:prediction:mean" in rendered) is (kind == "regression")


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_page_shows_the_figures_of_the_kind(kind: str) -> None:
    """What is not available says why."""
    calculator, calculation = _calculate(kind)
    page = Page(_monitor(calculator, calculation), calculator.reference.contract)
    values = page.template_values()
    labels = [label for label, _ in values["quality"]]
    if kind == "regression":
        wanted = ["MAE", "rmse", "R2", "off by more than 10", "off by more than 30"]
        assert values["no_estimate"].startswith("not available")
        assert values["confusion"] == []
    else:
        wanted = ["logloss", "macro AUC", "accuracy"]
        assert values["no_estimate"] == ""
        assert [label for label, _ in values["confusion"]] == ["delivered", "returned", "lost"]
    assert labels == [*wanted, "share of the rows"]


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_report_has_drift_and_quality(kind: str) -> None:
    """It is stored and read unchanged, and its page has the figures and Evidently's plots."""
    found, rows = trained(kind), recent(kind)
    reference, end = reference_of(found), datetime.now(UTC)
    comparison = Comparison(
        *(RUN_ID, Window(start=end - timedelta(hours=3), end=end)),
        Sample(rows, len(rows), 0.0),
        *(Baseline(kind="training data", rows=len(reference.rows)), reference.rows),
        *(reference.quality, 0),
    )
    report = build_report(comparison, found.contract, created_at=end, flow_run_id="f")
    assert Report.model_validate(report.model_dump()) == report
    page = report_page(report, drift_html(found.contract, reference.rows, rows))
    assert f"Quality on {KNOWN} known outcomes" in page
    if kind == "regression":
        assert "not available for numbers" in page
        assert "MAPE" not in re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    else:
        assert "Columns: predicted classes." in page


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_rows_of_another_model_are_scored_again(kind: str) -> None:
    """Only theirs; all rows keep their order."""
    rows = recent(kind)
    rows.loc[:9, RUN] = "b" * 32
    wrong = rows.assign(
        **{PREDICTION: rows[PREDICTION].where(rows.index > 9, rows[PREDICTION][11])}
    )
    models = cast("Any", SimpleNamespace(load=lambda _: trained(kind).model))
    scored, count = _rescore(wrong, RUN_ID, models)
    assert count == 10
    pd.testing.assert_series_equal(scored[PREDICTION], rows[PREDICTION])
