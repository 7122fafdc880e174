"""Marginals describe each feature, and customers drawn from them are valid."""

import json
import random

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import Contract, NumberFeature
from mlstack.contract.customer_schema import CustomerValidator
from mlstack.data.dataset import clean, read_raw
from mlstack.data.marginals import Marginals
from mlstack.settings import ROOT

DRAWN = 2000


@pytest.fixture
def rows(full: Contract) -> pd.DataFrame:
    return clean(read_raw(ROOT / str(full.data.sample)), full)


@pytest.fixture
def drawn(rows: pd.DataFrame, full: Contract) -> pd.DataFrame:
    marginals = Marginals.model_validate_json(Marginals.fit(rows, full).text())
    chance = random.Random(1)
    validator = CustomerValidator(full)
    customers = [marginals.draw(full, chance) for _ in range(DRAWN)]
    return pd.DataFrame([validator.validate(customer) for customer in customers])


def test_drawn_features_are_distributed_as_in_training(
    rows: pd.DataFrame, drawn: pd.DataFrame, full: Contract
) -> None:
    """Shares, missing values and quantiles are those of the training rows."""
    for feature in full.features:
        real, simulated = rows[feature.name], drawn[feature.name]
        assert abs(real.isna().mean() - simulated.isna().mean()) < 0.03
        if isinstance(feature, NumberFeature):
            places = [0.1, 0.25, 0.5, 0.75, 0.9]
            spread = real.quantile(0.95) - real.quantile(0.05)
            difference = real.quantile(places) - simulated.quantile(places)
            assert difference.abs().max() < 0.07 * spread, feature.name
        elif hasattr(feature, "values"):
            shares = [column.value_counts(normalize=True) for column in (real, simulated)]
            assert shares[0].sub(shares[1], fill_value=0).abs().max() < 0.04, feature.name


def test_marginals_leave_out_extreme_values(rows: pd.DataFrame, full: Contract) -> None:
    """The largest value of a column may name somebody."""
    name = "credit_limit"
    assert rows[name].dtype == np.float64
    rich = rows.assign(**{name: rows[name].where(rows.index != rows.index[0], 9_999_999.0)})
    assert max(Marginals.fit(rich, full).features[name].quantiles) < 40_000


def test_marginals_hold_no_texts(rows: pd.DataFrame, full: Contract) -> None:
    """Only the contract knows the values whose shares they hold."""
    features = json.loads(Marginals.fit(rows, full).text())["features"]
    assert list(features) == list(full.feature_names)
    assert {key for feature in features.values() for key in feature} <= {
        *("missing", "shares", "quantiles"),
    }


def test_feature_that_is_always_missing_is_drawn_missing(
    rows: pd.DataFrame, full: Contract
) -> None:
    """A column without a single value has no distribution."""
    empty = rows.assign(education_level=np.nan, marital_status=None)
    customer = Marginals.fit(empty, full).draw(full, random.Random(1))
    assert customer["education_level"] is None
    assert customer["marital_status"] is None


def test_marginals_hold_errors_only_of_numbers(rows: pd.DataFrame, full: Contract) -> None:
    """Their extreme values are left out; a text of a release before has none."""
    marginals = Marginals.fit(rows, full)
    assert "errors" not in json.loads(marginals.text())
    assert marginals.draw_error(random.Random(1)) is None
    errors = np.append(np.random.default_rng(1).normal(2, 10, 5000), 1e6)
    read = Marginals.model_validate_json(marginals.with_errors(errors).text())
    assert max(read.errors) < 50
    chance = random.Random(1)
    drawn = [read.draw_error(chance) for _ in range(DRAWN)]
    assert np.mean(np.array(drawn, np.float64)) == pytest.approx(2, abs=1)
