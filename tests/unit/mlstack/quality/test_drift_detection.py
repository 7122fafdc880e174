"""Drift is detected where there is drift, and nowhere else."""

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import (
    CategoryFeature,
    Contract,
    IntegerFeature,
    NumberFeature,
    OrdinalFeature,
)
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.errors import TooFewRows
from mlstack.quality import drift
from mlstack.quality.drift import (
    MIN_ROWS,
    MISSING,
    DriftDetector,
    DriftResult,
    threshold,
    with_labels,
)
from mlstack.quality.results import ColumnDrift
from tests.support.contracts import CONTRACTS
from tests.support.customers import contract_named, customers

ROWS = 1000


@pytest.fixture(scope="module", params=CONTRACTS)
def contract(request: pytest.FixtureRequest) -> Contract:
    return contract_named(request.param)


@pytest.fixture(scope="module")
def full() -> Contract:
    return contract_named("credit_card_churn_full")


@pytest.fixture(scope="module")
def reference(contract: Contract) -> pd.DataFrame:
    return customers(contract, 4000)


@pytest.fixture(scope="module")
def detector(contract: Contract, reference: pd.DataFrame) -> DriftDetector:
    return DriftDetector(contract, reference)


def _drift(column: str, *, drifted: bool) -> ColumnDrift:
    return ColumnDrift(
        column,
        "wasserstein",
        score=0.3 if drifted else 0.1,
        threshold=0.2,
        drifted=drifted,
        missing_share=0,
        reference_missing_share=0,
    )


def _by_name(result: DriftResult) -> dict[str, ColumnDrift]:
    return {feature.column: feature for feature in result.features}


def test_detector_judges_features_in_contract_order(
    detector: DriftDetector, contract: Contract
) -> None:
    """Every feature has a verdict, in the contract's order."""
    result = detector.compare_features(customers(contract, ROWS))
    assert tuple(feature.column for feature in result.features) == contract.feature_names
    assert result.rows == ROWS


def test_same_customers_have_not_drifted(detector: DriftDetector, contract: Contract) -> None:
    """Another sample of the same customers is no drift, nor are its predictions."""
    current = customers(contract, ROWS)
    result = detector.compare_features(current)
    assert not result.drifted
    assert result.share_drifted == 0
    assert not detector.compare_prediction(current[PREDICTION]).drifted


def test_simulated_drift_is_found_in_its_features(
    detector: DriftDetector, contract: Contract
) -> None:
    """A drift of the contract is detected in the features that it changes, and in no other."""
    result = detector.compare_features(customers(contract, ROWS, drift="incomes_rise"))
    assert result.drifted
    assert {"income_category", "credit_limit"} <= set(result.drifted_features)
    assert "customer_age" not in result.drifted_features
    assert result.share_drifted == len(result.drifted_features) / len(contract.features)


def test_rising_chances_are_prediction_drift(detector: DriftDetector, contract: Contract) -> None:
    """Higher chances than in the reference are drift of the prediction."""
    chances = customers(contract, ROWS)[PREDICTION]
    assert detector.compare_prediction(np.sqrt(chances)).drifted


def test_missing_values_are_drift(full: Contract) -> None:
    """A feature of any kind drifts when half of its values go missing."""
    detector = DriftDetector(full, customers(full, 4000))
    for feature in full.features:
        current = customers(full, ROWS)
        current[feature.name] = current[feature.name].astype(object)
        current.loc[current.index[: ROWS // 2], feature.name] = None
        if not isinstance(feature, CategoryFeature):
            current[feature.name] = current[feature.name].astype("float64")
        found = _by_name(detector.compare_features(current))[feature.name]
        assert found.drifted, feature.name
        assert found.missing_share >= 0.5


@pytest.mark.parametrize("missing_from", ["current", "reference", "both"])
def test_empty_column_is_compared(full: Contract, missing_from: str) -> None:
    """A column without any value drifts, unless it has none in the reference either."""
    reference, current = customers(full, 4000), customers(full, ROWS)
    for feature in full.features:
        nothing = None if isinstance(feature, CategoryFeature) else np.nan
        for side, rows in (("reference", reference), ("current", current)):
            if missing_from in (side, "both"):
                rows[feature.name] = nothing
    result = DriftDetector(full, reference).compare_features(current)
    assert [feature.drifted for feature in result.features] == [missing_from != "both"] * 19


def test_constant_column_drifts_when_it_changes(contract: Contract) -> None:
    """A number that is the same in every row drifts only when it becomes another one."""
    reference, current = customers(contract, 4000), customers(contract, ROWS)
    numbers = [f for f in contract.features if isinstance(f, IntegerFeature | NumberFeature)]
    for feature in numbers:
        reference[feature.name] = current[feature.name] = feature.example
    detector = DriftDetector(contract, reference)
    assert not detector.compare_features(current).drifted
    current[numbers[0].name] += 1
    assert detector.compare_features(current).drifted_features == (numbers[0].name,)


def test_new_category_is_drift(contract: Contract) -> None:
    """A category that the reference does not have is drift."""
    reference, current = customers(contract, 4000), customers(contract, ROWS)
    for feature in contract.features:
        if isinstance(feature, CategoryFeature | OrdinalFeature):
            reference[feature.name] = feature.values[0]
            current[feature.name] = feature.values[1]
    drifts = _by_name(DriftDetector(contract, reference).compare_features(current))
    for feature in contract.features:
        categorical = isinstance(feature, CategoryFeature | OrdinalFeature)
        assert drifts[feature.name].drifted == categorical


def test_too_few_rows_are_an_error(contract: Contract, detector: DriftDetector) -> None:
    """The error names the number of rows and how many are needed, on either side."""
    few = customers(contract, MIN_ROWS - 1)
    with pytest.raises(TooFewRows, match=f"{MIN_ROWS - 1} rows; .* needs at least {MIN_ROWS}"):
        detector.compare_features(few)
    with pytest.raises(TooFewRows, match=f"needs at least {MIN_ROWS}"):
        detector.compare_prediction(few[PREDICTION])
    with pytest.raises(TooFewRows, match="the reference has 0 rows"):
        DriftDetector(contract, few.iloc[:0])


def test_index_of_rows_is_ignored(detector: DriftDetector, contract: Contract) -> None:
    """Rows may share one index value."""
    current = customers(contract, ROWS)
    twice = current.set_axis([7] * ROWS, axis=0)
    assert detector.compare_features(twice) == detector.compare_features(current)


def test_threshold_falls_with_rows() -> None:
    """Fewer rows have a higher threshold; with many, the smallest difference remains."""
    assert threshold("wasserstein", 100, 4000) > threshold("wasserstein", 1000, 4000) > 0.1
    assert threshold("jensenshannon", 10**9, 10**9) == pytest.approx(0.05, abs=1e-3)


def test_score_at_its_threshold_is_drift(
    monkeypatch: pytest.MonkeyPatch, detector: DriftDetector, contract: Contract
) -> None:
    """A score counts as drift from exactly its threshold on."""
    chances = customers(contract, ROWS)[PREDICTION]
    score = detector.compare_prediction(chances).score
    for limit, drifted in ((score, True), (float(np.nextafter(score, 1)), False)):
        monkeypatch.setattr(drift, "threshold", lambda *_, limit=limit: limit)
        assert detector.compare_prediction(chances).drifted is drifted


def test_one_drifted_feature_is_enough() -> None:
    """The data set has drifted when one of its features has."""
    still = _drift("x", drifted=False)
    moved = _drift("y", drifted=True)
    result = DriftResult((still, moved), 100)
    assert (result.drifted, result.drifted_features, result.share_drifted) == (True, ("y",), 0.5)
    assert not DriftResult((still,), 100).drifted


def test_ordinals_are_shown_by_label(full: Contract) -> None:
    """People read the labels of an ordinal, and `MISSING` for no value."""
    rows = customers(full, 50)
    rows.loc[0, "education_level"] = np.nan
    rows.loc[1, "education_level"] = 5
    labels = with_labels(rows, full)["education_level"]
    assert labels[0] == MISSING
    assert labels[1] == "Doctorate"
