"""Predictions and outcomes, as they are returned, spooled and stored."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
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


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a customer came from: a server and, for a stream, the record's position."""

    source: Source
    shard_id: str | None = None
    sequence_number: str | None = None


class Prediction(NamedTuple):
    """A model's prediction for one customer; a tuple, because a server makes thousands a second.

    Args:
        prediction_id: A UUID; repeated requests may share one.
        customer: The validated features, and the caller's key if it was sent.
        scored: What the model predicts.
        run_id: MLflow run of the model.
        created_at: When it was made, with a time zone.
    """

    prediction_id: str
    customer: Customer
    scored: Scored
    run_id: str
    contract: Contract
    origin: Origin
    created_at: datetime

    def answer(self) -> dict[str, Any]:
        """Return the response for the caller."""
        answer: dict[str, Any] = {self.contract.answer: self.scored.prediction}
        target, probabilities = self.contract.target, self.scored.probabilities
        if isinstance(target, MulticlassTarget) and probabilities is not None:
            answer[PROBABILITIES] = dict(zip(target.classes, probabilities, strict=True))
        if (decision := self.decision) is not None:
            answer[DECISION] = decision
        identity = {RUN_ID: self.run_id, PREDICTION_ID: self.prediction_id}
        return {**answer, **identity, **self._key}

    def document(self) -> dict[str, Any]:
        """Return the spooled JSON document; MongoDB stores its time as a date."""
        document: dict[str, Any] = {
            ID: self.prediction_id,
            **self.customer,
            PREDICTION: self.scored.prediction,
            RUN_ID: self.run_id,
            CONTRACT: contract_label(self.contract),
            SOURCE: self.origin.source,
            CREATED_AT: _iso_text(self.created_at),
        }
        if self.origin.sequence_number is not None:
            document[SHARD_ID] = self.origin.shard_id
            document[SEQUENCE_NUMBER] = self.origin.sequence_number
        more = dict[str, Any]()
        for name in self._key:
            more[KEY] = document.pop(name)
        if (decision := self.decision) is not None:
            more[DECISION] = decision
        if self.scored.probabilities is not None:
            more[PROBABILITIES] = list(self.scored.probabilities)
        if more:
            document[MORE] = more
        return document

    @property
    def decision(self) -> bool | None:
        """Whether the probability reaches the contract's threshold; None without one."""
        threshold, prediction = self.contract.threshold, self.scored.prediction
        if threshold is None or isinstance(prediction, str):
            return None
        return prediction >= threshold

    @property
    def _key(self) -> dict[str, Any]:
        """The caller's key by the name that the contract gives it; empty if none was sent."""
        key = self.contract.key
        return {key.name: self.customer[key.name]} if key and key.name in self.customer else {}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a customer.

    Args:
        prediction_id: Id of the prediction; of an outcome by key its own id.
        value: As `Target.stored` returns it.
        by_key: Contract's name and caller's key, if it is of the latest prediction made before it.
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


@lru_cache(maxsize=8)
def _iso_text(moment: datetime) -> str:
    """Predictions of one call share their moment."""
    return moment.isoformat()


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
