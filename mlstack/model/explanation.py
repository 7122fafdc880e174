"""Explain a prediction: what each feature adds to the margin, in the contract's words."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlstack.contract.customer_schema import Customer
from mlstack.contract.target import MulticlassTarget, Scored
from mlstack.model.encoder import Matrix
from mlstack.model.model import Model

Contribute = Callable[[Matrix], NDArray[np.float32]]
"""Returns the contributions of a row; see `contributions.Contributions`."""


class Explanation(NamedTuple):
    """Why a model predicts what it predicts.

    Args:
        label: The predicted class, whose margin is explained; None if the target has no classes.
        base: The margin before anything is known about the customer.
        contributions: What each feature adds to it, in the contract's order.
        margin: The sum of all these; `Target.margin_meaning` says what it means.
    """

    label: str | None
    base: float
    contributions: dict[str, float]
    margin: float

    def document(self) -> dict[str, Any]:
        """Return it for an answer in JSON."""
        label = {} if self.label is None else {"class": self.label}
        return {
            **label,
            "base": self.base,
            "contributions": self.contributions,
            "margin": self.margin,
        }


def explain(model: Model, customer: Customer, said: Scored, contribute: Contribute) -> Explanation:
    """Explain what a model has predicted (`said`) for a valid customer."""
    matrix = model.encoder.encode([customer])
    label, output, target = None, 0, model.contract.target
    if isinstance(target, MulticlassTarget):
        label = str(said.prediction)
        output = target.classes.index(label)
    found = contribute(matrix)[output].astype(np.float64)
    # The columns of a category add up to what its value says.
    widths = model.encoder.widths
    firsts = np.cumsum([0, *widths.values()])[:-1]
    sums = np.add.reduceat(found[:-1], firsts).tolist()
    by_feature = dict(zip(widths, sums, strict=True))
    margin = float(model.margins(matrix)[0, output])
    return Explanation(label, float(found[-1]), by_feature, margin)
