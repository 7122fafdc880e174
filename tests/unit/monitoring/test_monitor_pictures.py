"""The monitoring page's charts: every kind of column, and drawn only when somebody looks."""

from types import SimpleNamespace
from typing import cast

import pytest

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.customer_table import customer_table
from mlstack.quality.distributions import ColumnDistribution, Histogram, LabelShares
from mlstack.quality.drift import DriftDetector
from mlstack.quality.results import ColumnDrift
from monitoring.evidently_service import distribution_chart
from monitoring.evidently_service.calculation import Calculation
from monitoring.evidently_service.distribution_chart import draw_distribution
from monitoring.evidently_service.pictures import Pictures
from tests.support.every_kind import every_kind


def _calculation(contract: Contract) -> Calculation:
    """Compare customers with others whose first feature is higher, without Evidently's service."""
    rows = customer_table(CustomerGenerator(contract, seed=1).draw(300), contract)
    rows[PREDICTION] = 0.5
    moved = rows.assign(items=50)
    detector = DriftDetector(contract, rows)
    drift, features = detector.compare_features(moved), detector.distributions(moved)
    missing = {"missing_share": 0.0, "reference_missing_share": 0.0}
    prediction = ColumnDrift("prediction", "wasserstein", 0, 1, drifted=False, **missing)
    predicted = Histogram([0, 0.5, 1], [0.5, 0.5], [0.1, 0.9])
    found = SimpleNamespace(
        drift=drift,
        features=features,
        prediction=prediction,
        predicted=predicted,
        predictions=300,
    )
    return cast("Calculation", found)


@pytest.fixture(scope="module")
def calculation() -> Calculation:
    return _calculation(every_kind())


def test_every_kind_of_feature_has_a_chart(calculation: Calculation) -> None:
    """Predictions come first, then what has drifted; a date without `since` is no feature."""
    contract = every_kind()
    pictures = Pictures(contract).of(calculation)
    names = [picture.column for picture in pictures]
    assert names[:2] == ["prediction", "items"]
    assert sorted(names[1:]) == sorted(feature.name for feature in contract.model_features)
    assert len({picture.svg for picture in pictures}) == len(names)
    assert 'stroke="var(--bad' in pictures[1].svg
    assert "days since ordered" in next(p.meaning for p in pictures if p.column == "delivered")


def test_calculation_is_drawn_once(
    calculation: Calculation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request for the same page costs no drawing."""
    drawn = []

    def draw(name: str, *_: object, **__: object) -> str:
        drawn.append(name)
        return ""

    monkeypatch.setattr(distribution_chart, "draw_distribution", draw)
    pictures = Pictures(every_kind())
    assert pictures.of(calculation) is pictures.of(calculation)
    once = len(drawn)
    pictures.of(_calculation(every_kind()))
    assert len(drawn) == 2 * once


@pytest.mark.parametrize(
    ("distribution", "text"),
    [
        (Histogram([], [], []), "no value"),
        (Histogram([0, 1], [], [1.0]), "0.5"),
        (Histogram([-0.5, 49_999.5], [1.0], [1.0]), "45k"),
        (LabelShares(["a" * 40], [1.0], [1.0]), f"{'a' * 17}…"),
        (LabelShares(["$<b>$"], [0.25], [0.0]), "$&lt;b&gt;$"),
    ],
)
def test_unusual_distribution_is_drawn(distribution: ColumnDistribution, text: str) -> None:
    svg = draw_distribution("a", "A feature", distribution, drifted=False)
    assert f">{text}</text>" in svg
