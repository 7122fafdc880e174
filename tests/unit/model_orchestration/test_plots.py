import numpy as np
import pytest
import xgboost

from mlstack.contract import Contract
from model_orchestration.plots import all_plots, plot_importance, plot_search_history
from model_orchestration.trials import Rows, Trial
from tests.support.models import train
from tests.support.target_kinds import trained


def _trial(number: int, rmse: float | None) -> Trial:
    metrics = {} if rmse is None else {"rmse": rmse}
    if rmse is None:
        return Trial(number, 4, {}, 0.1, None, metrics, "ValueError: no", np.inf)
    return Trial(number, 4, {}, 0.1, None, metrics, None, rmse)


def test_importance_has_one_bar_per_feature_adding_up_to_one(
    documented: Contract,
) -> None:
    """A category's columns are one feature to the reader."""
    [axes] = plot_importance(train(documented, seed=1), documented).axes
    names = {label.get_text() for label in axes.get_yticklabels()}
    assert names == set(documented.feature_names)
    assert sum(bar.get_width() for bar in axes.patches) == pytest.approx(1)  # type: ignore[attr-defined]


def test_importance_of_a_model_without_splits_is_zero(
    documented: Contract,
) -> None:
    matrix = np.zeros((4, 17), dtype=np.float32)
    data = xgboost.DMatrix(matrix, np.array([0, 1, 0, 1]))
    [axes] = plot_importance(xgboost.train({}, data, 1), documented).axes
    assert [bar.get_width() for bar in axes.patches] == [0] * 11  # type: ignore[attr-defined]


def test_history_shows_winner_and_counts_hidden_trials() -> None:
    good = [_trial(number, 0.33) for number in range(5, 40)]
    trials = [_trial(1, 0.33), _trial(2, None), _trial(3, 0.32), _trial(4, 0.9), *good]
    figure = plot_search_history(trials, "rmse")
    [axes] = figure.axes
    assert "trial 3: 0.32" in [text.get_text() for text in axes.texts]
    assert axes.get_title() == "1 worse than shown, 1 failed"


def test_history_of_a_single_trial_is_plotted() -> None:
    assert plot_search_history([_trial(1, 0.33)], "rmse").axes


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("binary", {"calibration.png", "precision_recall.png"}),
        ("regression", {"predicted_and_actual.png", "errors.png"}),
        ("multiclass", {"confusion.png"}),
    ],
)
def test_each_kind_of_target_has_its_plots(kind: str, names: set[str]) -> None:
    """The history of the search and the importance of the features are common to all."""
    found = trained(kind)
    test = Rows.encode(found.parts.test, found.contract)
    scores = found.model.score_matrix(test.matrix)
    plots = all_plots(found.contract, [found.best], found.best, test.outcomes, scores)
    assert set(plots) == {"search_history.png", "importance.png", *names}
    assert all(figure.axes for figure in plots.values())
