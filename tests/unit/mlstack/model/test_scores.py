"""One link function makes scores of margins, as XGBoost does."""

import numpy as np
import pytest
import xgboost

from mlstack.model.targets import Margins, Scores, as_scores
from tests.support.target_kinds import KINDS, contract_of

LARGE = np.array(
    [-1e30, -1000, -89, -88.8, -17, -1e-9, 0, 1e-9, 17, 88.8, 1000, 1e30], dtype=np.float32
)


def of_xgboost(kind: str, margins: Margins) -> Scores:
    """Let a model of zeros predict with these margins as its base."""
    objective = {"binary": "binary:logistic", "multiclass": "multi:softprob"}
    parameters = {
        "objective": objective.get(kind, "reg:squarederror"),
        "base_score": 0.5,
        "nthread": 1,
    }
    if kind == "multiclass":
        parameters["num_class"] = margins.shape[1]
    rows = np.zeros((len(margins), 1))
    nothing = xgboost.DMatrix(rows, np.arange(len(rows)) % 3 % 2, base_margin=margins)
    booster = xgboost.train({**parameters, "eta": 0}, nothing, 1)
    scores: Scores = booster.predict(nothing)
    return scores


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_xgboost(kind: str) -> None:
    """Equal but for the last bit of XGBoost's exponential, in any range."""
    draws = np.random.default_rng(1)
    outputs = 3 if kind == "multiclass" else 1
    margins = np.concatenate(
        [
            np.repeat(LARGE[:, np.newaxis], outputs, axis=1),
            draws.choice(LARGE, (200, outputs)),
            draws.normal(0, 5, (20_000, outputs)).astype(np.float32),
        ]
    )
    scores, expected = as_scores(contract_of(kind).target, margins), of_xgboost(kind, margins)
    assert scores.dtype == np.float32
    np.testing.assert_array_max_ulp(scores, expected, maxulp=2)
    assert (scores == expected).mean() > 0.99
    alone = [as_scores(contract_of(kind).target, row[np.newaxis])[0] for row in margins[:500]]
    np.testing.assert_array_equal(np.array(alone), scores[:500])
