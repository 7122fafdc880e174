"""Evidently's page: self-contained, with the same verdict as the figures."""

import re

import pytest

from mlstack.contract import Contract, IntegerFeature, NumberFeature
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.customer_table import customer_table
from mlstack.quality.drift import DriftDetector, with_labels
from mlstack.quality.results import MIN_OUTCOMES
from reporting.evidently_page import _drift, drift_html
from tests.support.contracts import CONTRACTS
from tests.support.customers import contract_named, customers, with_outcomes
from tests.support.every_kind import every_kind

MIB = 1024**2
_LOADED = re.compile(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?(https?:)?//""", re.IGNORECASE)


@pytest.fixture(scope="module", params=CONTRACTS)
def contract(request: pytest.FixtureRequest) -> Contract:
    return contract_named(request.param)


def test_page_has_drift_and_quality(contract: Contract) -> None:
    """It has drift and quality, names every feature, and loads nothing."""
    current = with_outcomes(customers(contract, 400, drift="incomes_rise"))
    current.loc[:99, "target"] = None
    reference = with_outcomes(customers(contract, 1000))
    page = drift_html(contract, reference, current)
    assert "Dataset Drift is detected" in page
    assert "Quality on 300 known outcomes" in page
    for name in contract.feature_names:
        assert name in page
    assert len(page) < 6 * MIB
    assert not _LOADED.search(page)


def test_page_with_one_class_has_no_quality(contract: Contract) -> None:
    """Outcomes that are all the same do not fail the page."""
    reference = with_outcomes(customers(contract, 1000))
    current = customers(contract, 400).assign(target=0.0)
    assert "known outcomes" not in drift_html(contract, reference, current)


def test_page_with_few_outcomes_has_no_quality(contract: Contract) -> None:
    """Below the minimum there is drift alone."""
    reference = with_outcomes(customers(contract, 1000))
    current = with_outcomes(customers(contract, 400))
    current.loc[MIN_OUTCOMES - 1 :, "target"] = None
    page = drift_html(contract, reference, current)
    assert "Dataset Drift is NOT detected" in page
    assert "known outcomes" not in page


def test_page_leaves_out_an_empty_column(contract: Contract) -> None:
    """A column without any value does not fail the page."""
    reference, current = customers(contract, 1000), customers(contract, 400)
    current["credit_limit"] = float("nan")
    assert "months_on_book" in drift_html(contract, reference, current)


def test_page_agrees_with_the_figures_on_extreme_columns() -> None:
    """Tiny, huge and constant numbers have the figures' scores, and do not fail the page."""
    contract = contract_named("credit_card_churn")
    reference, current = customers(contract, 200), customers(contract, 100)
    names = [f.name for f in contract.features if isinstance(f, IntegerFeature | NumberFeature)]
    tiny, huge, constant, left, stuck = names[:5]
    for name, unit, factor in ((tiny, 1e-9, 1), (huge, 1e300, 3)):
        reference[name] *= unit
        current[name] *= unit * factor
    reference[constant] = current[constant] = 9e15
    reference[left], current[left] = 5e-9, 6e-9
    current[stuck] = 9e15
    drift = DriftDetector(contract, reference).compare_features(current)
    assert set(drift.drifted_features) == {huge, left, stuck}
    metrics = _drift(contract, with_labels(reference, contract), with_labels(current, contract))
    scores = {
        metric["config"]["column"].split(" ")[0]: metric["value"]
        for metric in metrics.dict()["metrics"]
        if "column" in metric["config"]
    }
    for feature in drift.features:
        assert scores[feature.column] == pytest.approx(feature.score, rel=1e-6)
    page = drift_html(contract, reference, current)
    assert f"{huge} (in units of 1e+30" in page
    assert "another value" in page


def test_page_shows_dates_and_booleans() -> None:
    """They are compared as the model sees them, days as numbers, and booleans by label."""
    contract = every_kind()
    rows = customer_table(CustomerGenerator(contract, seed=1).draw(400), contract)
    rows = rows.assign(prediction=0.5, target=float("nan"))
    page = drift_html(contract, rows, rows)
    assert "delivered" in page
    assert "insured" in page
