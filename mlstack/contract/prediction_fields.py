"""Names of a prediction's fields besides its features.

All documents and tables use them. They are defined in this package because a contract must not use
them as feature names.
"""

PREDICTION = "prediction"
"""Probability of the positive class, a number, or a class."""

PREDICTION_ID = "prediction_id"
"""The prediction's id; `_id` in MongoDB and in the spool."""

RUN_ID = "model_run_id"
"""MLflow run of the model."""

CONTRACT = "contract"
"""Name and hash of the contract that validated the customer."""

SOURCE = "source"
"""What made the prediction: the server `api` or `kinesis`, or `batch` (`make score`)."""

CREATED_AT = "created_at"
"""When the prediction was made."""

SHARD_ID = "shard_id"
SEQUENCE_NUMBER = "sequence_number"
"""Position of the record, if the prediction came from a stream."""

TARGET = "target"
"""The outcome: 1 for the positive class and 0 for the negative, a number, or a class.

It is absent, NaN or None while unknown."""

TARGET_AT = "target_at"
"""When the outcome was reported."""

MORE = "_more"
"""Holds all other fields of a prediction; no feature can have this name."""

KEY = "key"
"""In `MORE`: the caller's own identifier of the customer."""

PROBABILITIES = "probabilities"
"""In `MORE`: probabilities of the contract's classes, in order; in an answer, by class."""

DECISION = "decision"
"""In `MORE` and in an answer: whether the probability reached the contract's threshold."""

EXPLANATION = "explanation"
"""In an answer, if it was asked for: what each feature contributed."""

MORE_PROBABILITIES = f"{MORE}.{PROBABILITIES}"
MORE_DECISION = f"{MORE}.{DECISION}"
"""Columns of tables."""

RESERVED_NAMES = frozenset(
    {
        *(PREDICTION, PREDICTION_ID, RUN_ID, CONTRACT, SOURCE, CREATED_AT),
        *(SHARD_ID, SEQUENCE_NUMBER, TARGET, TARGET_AT),
    }
)
"""Names that no feature, target or response key may have."""
