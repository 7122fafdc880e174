"""Predictions and outcomes, as they are returned, spooled and stored."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeGuard, get_args

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.prediction_fields import (
    CONTRACT,
    CREATED_AT,
    DECISION,
    KEY,
    MORE,
    PREDICTION,
    PREDICTION_ID,
    PROBABILITIES,
    RUN_ID,
    SEQUENCE_NUMBER,
    SHARD_ID,
    SOURCE,
    TARGET,
    TARGET_AT,
)
from mlstack.contract.target import MulticlassTarget, Scored
from mlstack.contract.target import Outcome as OutcomeValue

ID = "_id"
"""Field for the prediction id in stored predictions and outcomes."""

PREDICTION_ID_PATTERN = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
"""Regular expression for a prediction id: a UUID in its usual form."""

LiveSource = Literal["api", "kinesis"]
Source = LiveSource | Literal["batch"]
"""The server that made a prediction; `batch` is the scoring of a table (`make score`)."""

BATCH: Final = "batch"

LIVE_SOURCES: tuple[LiveSource, ...] = get_args(LiveSource)
"""Sources that monitoring, quality and reports look at."""


class Origin(NamedTuple):
    """Where a customer came from: a server and, for a stream, the record's position."""

    source: Source
    shard_id: str | None = None
    sequence_number: str | None = None


class ModelCall:
    """What the predictions of one call of a model share.

    Args:
        run_id: MLflow run of the model.
        contract: The model's.
        created_at: When they were made, with a time zone.
    """

    __slots__ = ("answer", "classes", "key", "run_id", "stored", "threshold")

    def __init__(self, run_id: str, contract: Contract, created_at: datetime) -> None:
        # Worked out here, because a server makes thousands of predictions a second.
        target = contract.target
        self.run_id = run_id
        self.stored = {
            RUN_ID: run_id,
            CONTRACT: contract_label(contract),
            CREATED_AT: created_at.isoformat(),
        }
        """Fields that their documents share."""
        self.answer, self.threshold = contract.answer, contract.threshold
        self.classes = target.classes if isinstance(target, MulticlassTarget) else ()
        self.key = contract.key.name if contract.key else ""
        """The contract's name of a caller's key; empty if there is none."""


class Prediction(NamedTuple):
    """A model's prediction for one customer.

    Args:
        prediction_id: A UUID; repeated requests may share one.
        customer: The validated features, and the caller's key if it was sent.
        scored: What the model predicts.
        origin: Where the customer came from.
        call: What it shares with others of the same call.
    """

    prediction_id: str
    customer: Customer
    scored: Scored
    origin: Origin
    call: ModelCall

    def answer(self) -> dict[str, Any]:
        """Return the response for the caller."""
        scored, call = self.scored, self.call
        answer: dict[str, Any] = {call.answer: scored.prediction}
        if scored.probabilities is not None:
            answer[PROBABILITIES] = dict(zip(call.classes, scored.probabilities, strict=True))
        if call.threshold is not None:
            answer[DECISION] = self.decision
        answer[RUN_ID] = call.run_id
        answer[PREDICTION_ID] = self.prediction_id
        if call.key in self.customer:
            answer[call.key] = self.customer[call.key]
        return answer

    def document(self) -> dict[str, Any]:
        """Return the spooled JSON document; MongoDB stores its time as a date."""
        prediction_id, customer, scored, origin, call = self
        document: dict[str, Any] = {
            ID: prediction_id,
            **customer,
            PREDICTION: scored.prediction,
            SOURCE: origin.source,
            **call.stored,
        }
        if origin.sequence_number is not None:
            document[SHARD_ID] = origin.shard_id
            document[SEQUENCE_NUMBER] = origin.sequence_number
        more = dict[str, Any]()
        if call.key in customer:
            more[KEY] = document.pop(call.key)
        if call.threshold is not None:
            more[DECISION] = self.decision
        if scored.probabilities is not None:
            more[PROBABILITIES] = list(scored.probabilities)
        if more:
            document[MORE] = more
        return document

    @property
    def decision(self) -> bool | None:
        """Whether the probability reaches the contract's threshold; None without one."""
        threshold, prediction = self.call.threshold, self.scored.prediction
        if threshold is None or isinstance(prediction, str):
            return None
        return prediction >= threshold


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a customer.

    Args:
        prediction_id: Id of the prediction; an outcome by key has an id of its own.
        value: As `Target.stored` returns it.
        by_key: The contract's name and the caller's key, if the outcome belongs to the latest
            prediction made before it.
    """

    prediction_id: str
    value: OutcomeValue
    by_key: tuple[str, str] | None = None

    def document(self, reported_at: datetime) -> dict[str, Any]:
        """Return the spooled JSON document; `reported_at` must have a time zone."""
        document: dict[str, Any] = {
            ID: self.prediction_id,
            TARGET: self.value,
            TARGET_AT: reported_at.isoformat(),
        }
        if self.by_key is not None:
            name, key = self.by_key
            document |= {CONTRACT: {"name": name}, MORE: {KEY: key}}
        return document


class PredictionSink(Protocol):
    """Keeps predictions and outcomes: `PredictionLog`, or memory in tests."""

    def keep(self, predictions: Sequence[Prediction]) -> None:
        """Keep all or none; raise SpoolError if they must not be returned."""

    def keep_outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Keep all or none; raise SpoolError if they must not be acknowledged."""


def contract_label(contract: Contract) -> dict[str, str]:
    """Return the contract's name and hash, as stored with a prediction."""
    return {"name": contract.name, "hash": contract.digest}


def is_prediction_id(value: Any) -> TypeGuard[str]:
    """Whether a JSON value is a prediction id."""
    return isinstance(value, str) and re.fullmatch(PREDICTION_ID_PATTERN, value) is not None
