"""The last word on a search: the winner's test figures, the reference, the pictures."""

from mlstack.contract import Contract
from mlstack.data.customer_table import PREDICTION
from mlstack.data.dataset import Split
from mlstack.quality.reference import REFERENCE_FILE
from model_orchestration import plots
from model_orchestration.metrics import evaluate
from model_orchestration.search import Rows, Trial
from model_orchestration.tracking import SearchTracking, Winner


def conclude(tracking: SearchTracking, contract: Contract, parts: Split, best: Trial) -> Winner:
    """Looks at the test rows, once and for the winner, and tells MLflow.

    Args:
        tracking: Of the search, every trial sent.
        contract: What the winner was trained with.
        parts: Clean rows by their use.
        best: The search's winner.

    Raises:
        TrackingError: MLflow cannot be reached, or refuses.
    """
    booster = best.booster
    assert booster is not None  # noqa: S101 - a winner has a model
    train, test = Rows.encode(parts.train, contract), Rows.encode(parts.test, contract)
    chances = booster.inplace_predict(test.matrix)
    winner = tracking.winner(best, evaluate(test.outcomes, chances))
    reference = parts.train.assign(**{PREDICTION: booster.inplace_predict(train.matrix)})
    pictures = plots.all_plots(contract, tracking.trials, best, test.outcomes, chances)
    tracking.attach(
        {
            REFERENCE_FILE: reference.to_csv(index=False),
            **{f"plots/{name}": figure for name, figure in pictures.items()},
        }
    )
    return winner
