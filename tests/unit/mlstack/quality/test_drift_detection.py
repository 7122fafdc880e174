"""Is drift found where it is, and not where it is not?"""

from dataclasses import replace

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
from mlstack.data.customer_table import PREDICTION
from mlstack.errors import TooFewRows
from mlstack.quality.drift import (
    MIN_ROWS,
    MISSING,
    ColumnDrift,
    DriftDetector,
    DriftResult,
    comparable,
    threshold,
)
from support.contracts import CONTRACTS
from support.customers import contract_named, customers

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


def _by_name(result: DriftResult) -> dict[str, ColumnDrift]:
    return {feature.column: feature for feature in result.features}


def test_every_feature_has_a_verdict_in_the_contracts_order(
    detector: DriftDetector, contract: Contract
) -> None:
    result = detector.features(customers(contract, ROWS))
    assert tuple(feature.column for feature in result.features) == contract.feature_names
    assert (result.rows, result.reference_rows) == (ROWS, 4000)


def test_the_same_kind_of_customers_has_not_drifted(
    detector: DriftDetector, contract: Contract
) -> None:
    current = customers(contract, ROWS)
    result = detector.features(current)
    assert not result.drifted
    assert result.share_drifted == 0
    assert not detector.prediction(current[PREDICTION]).drifted


def test_a_named_drift_is_found_in_the_features_that_it_is_about(
    detector: DriftDetector, contract: Contract
) -> None:
    result = detector.features(customers(contract, ROWS, drift="incomes_rise"))
    assert result.drifted
    assert {"income_category", "credit_limit"} <= set(result.drifted_features)
    assert "customer_age" not in result.drifted_features
    assert result.share_drifted == len(result.drifted_features) / len(contract.features)


def test_chances_that_rise_are_prediction_drift(
    detector: DriftDetector, contract: Contract
) -> None:
    chances = customers(contract, ROWS)[PREDICTION]
    assert detector.prediction(np.sqrt(chances)).drifted


def test_a_feature_that_goes_missing_has_drifted(full: Contract) -> None:
    detector = DriftDetector(full, customers(full, 4000))
    for feature in full.features:
        current = customers(full, ROWS)
        current[feature.name] = current[feature.name].astype(object)
        current.loc[current.index[: ROWS // 2], feature.name] = None
        if not isinstance(feature, CategoryFeature):
            current[feature.name] = current[feature.name].astype("float64")
        drift = _by_name(detector.features(current))[feature.name]
        assert drift.drifted, feature.name
        assert drift.missing_share >= 0.5


@pytest.mark.parametrize("missing_from", ["current", "reference", "both"])
def test_a_column_without_any_value_is_compared_by_that(full: Contract, missing_from: str) -> None:
    reference, current = customers(full, 4000), customers(full, ROWS)
    for feature in full.features:
        nothing = None if isinstance(feature, CategoryFeature) else np.nan
        for side, rows in (("reference", reference), ("current", current)):
            if missing_from in (side, "both"):
                rows[feature.name] = nothing
    result = DriftDetector(full, reference).features(current)
    assert [feature.drifted for feature in result.features] == [missing_from != "both"] * 19


def test_constant_columns_drift_only_when_the_constant_changes(contract: Contract) -> None:
    reference, current = customers(contract, 4000), customers(contract, ROWS)
    numbers = [f for f in contract.features if isinstance(f, IntegerFeature | NumberFeature)]
    for feature in numbers:
        reference[feature.name] = current[feature.name] = feature.example
    detector = DriftDetector(contract, reference)
    assert not detector.features(current).drifted
    current[numbers[0].name] += 1
    assert detector.features(current).drifted_features == (numbers[0].name,)


def test_a_category_that_the_reference_does_not_have_is_drift(contract: Contract) -> None:
    reference, current = customers(contract, 4000), customers(contract, ROWS)
    for feature in contract.features:
        if isinstance(feature, CategoryFeature | OrdinalFeature):
            reference[feature.name] = feature.values[0]
            current[feature.name] = feature.values[1]
    drifts = _by_name(DriftDetector(contract, reference).features(current))
    for feature in contract.features:
        categorical = isinstance(feature, CategoryFeature | OrdinalFeature)
        assert drifts[feature.name].drifted == categorical


def test_too_few_rows_are_said_to_be_too_few(contract: Contract, detector: DriftDetector) -> None:
    few = customers(contract, MIN_ROWS - 1)
    with pytest.raises(TooFewRows, match=f"{MIN_ROWS - 1} rows; a comparison needs {MIN_ROWS}"):
        detector.features(few)
    with pytest.raises(TooFewRows, match=f"needs {MIN_ROWS}"):
        detector.prediction(few[PREDICTION])
    with pytest.raises(TooFewRows, match="the reference has 0 rows"):
        DriftDetector(contract, few.iloc[:0])


def test_rows_do_not_need_an_index_of_their_own(
    detector: DriftDetector, contract: Contract
) -> None:
    current = customers(contract, ROWS)
    twice = current.set_axis([7] * ROWS, axis=0)
    assert detector.features(twice) == detector.features(current)


def test_fewer_rows_leave_more_to_chance() -> None:
    assert threshold("wasserstein", 100, 4000) > threshold("wasserstein", 1000, 4000) > 0.1
    assert threshold("jensenshannon", 10**9, 10**9) == pytest.approx(0.05, abs=1e-3)


def test_a_score_at_its_threshold_has_drifted() -> None:
    drift = ColumnDrift("x", "wasserstein", 0.2, 0.2, 0, 0)
    assert drift.drifted
    assert not replace(drift, score=0.1999).drifted


def test_one_drifted_feature_is_enough_for_the_data_set() -> None:
    still = ColumnDrift("x", "wasserstein", 0.1, 0.2, 0, 0)
    moved = ColumnDrift("y", "wasserstein", 0.3, 0.2, 0, 0)
    result = DriftResult((still, moved), 100, 100)
    assert (result.drifted, result.drifted_features, result.share_drifted) == (True, ("y",), 0.5)
    assert not DriftResult((still,), 100, 100).drifted


def test_people_read_labels_and_not_codes(full: Contract) -> None:
    rows = customers(full, 50)
    rows.loc[0, "education_level"] = np.nan
    rows.loc[1, "education_level"] = 5
    labels = comparable(rows, full)["education_level"]
    assert labels[0] == MISSING
    assert labels[1] == "Doctorate"
