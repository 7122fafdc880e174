"""Make the receipt of a kept prediction: what it was made of, and whether it can be repeated."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mlstack.contract.customer_schema import CustomerValidator
from mlstack.contract.prediction_fields import CONTRACT, MORE, PREDICTION, PROBABILITIES, RUN_ID
from mlstack.contract.target import Scored
from mlstack.errors import InvalidCustomer, ModelError
from mlstack.model.contributions import Contributor
from mlstack.model.explanation import Explanation, explain
from mlstack.model.model import Model
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.kept_predictions import Kept
from operations.receipts.origin import Origin, find_origin

_LAST_BITS = 1e-6
"""By how much two ways of computing the same exponential may differ in single precision."""


class Receipt(NamedTuple):
    """What is known of a kept prediction.

    Args:
        model: The model that made it; None if it cannot be loaded.
        origin: Where the model comes from, or why that is not known.
        difference: Why it is not proved; empty if both scores are equal bit for bit.
        again: What the model says of the customer now; None if it cannot be asked.
        explanation: Why it says so.
    """

    kept: Kept
    model: Model | None
    origin: Origin | str
    difference: str
    again: Scored | None = None
    explanation: Explanation | None = None


def make_receipt(kept: Kept, store: ModelStore) -> Receipt:
    """Make a receipt, whatever has become of the prediction and its model."""
    document, run_id = kept.document, str(kept.document.get(RUN_ID))
    origin: Origin | str
    try:
        origin = find_origin(run_id)
    except ModelError as error:
        origin = str(error)
    try:
        model = store.load(run_id)
        contribute = Contributor(model.folder, run_id)
    except ModelError as error:
        return Receipt(kept, None, origin, f"its model cannot be loaded: {error}")
    contract = model.contract
    made_by = document.get(CONTRACT)
    if not isinstance(made_by, Mapping) or made_by.get("hash") != contract.digest:
        reason = "the kept contract is not that of the model: one of them was changed"
        return Receipt(kept, model, origin, reason)
    try:
        given = {name: document.get(name) for name in contract.feature_names}
        customer = CustomerValidator(contract).validate(given)
    except InvalidCustomer as error:
        reason = f"the kept customer does not fit the contract, so it was changed: {error}"
        return Receipt(kept, model, origin, reason)
    (again,) = model.score([customer])
    explanation = explain(model, customer, again, contribute)
    return Receipt(kept, model, origin, _difference(document, again), again, explanation)


def _difference(document: Mapping[str, Any], again: Scored) -> str:
    """Return why a kept prediction is not what the model says again; empty if it is."""
    more = document.get(MORE)
    probabilities = more.get(PROBABILITIES) if isinstance(more, Mapping) else None
    said = Scored(document.get(PREDICTION), tuple(probabilities) if probabilities else None)  # type: ignore[arg-type]  # compared only
    if said == again:
        return ""
    if _is_close(said, again):
        return (
            "only the last bits differ: releases before ONNX Runtime, and other machines, round "
            "the link function otherwise"
        )
    return "the model says something else now: prediction, customer or model were changed"


def _is_close(said: Scored, again: Scored) -> bool:
    try:
        kept, now = (
            np.array(each.probabilities or (each.prediction,), dtype=np.float64)
            for each in (said, again)
        )
    except (TypeError, ValueError):
        return False
    return kept.shape == now.shape and np.allclose(kept, now, _LAST_BITS, _LAST_BITS)
