"""Names of the fields that a prediction has beside its features, in every document and table.

They are written only here. They stand below the prediction log because a contract must not
give them to a feature.
"""

PREDICTION = "prediction"
"""Probability of the positive class."""

PREDICTION_ID = "prediction_id"
"""The prediction's id; `_id` in MongoDB and in the spool."""

RUN_ID = "model_run_id"
"""MLflow run of the model."""

CONTRACT = "contract"
"""Name and hash of the contract that the customer was validated with."""

SOURCE = "source"
"""The server that answered: `api` or `kinesis`."""

CREATED_AT = "created_at"
"""When the prediction was made."""

SHARD_ID = "shard_id"
SEQUENCE_NUMBER = "sequence_number"
"""Position of the record, for a prediction that came from a stream."""

TARGET = "target"
"""The outcome: 1 for the positive class, else 0; absent or NaN while it is unknown."""

TARGET_AT = "target_at"
"""When the outcome was reported."""

RESERVED_NAMES = frozenset(
    {
        *(PREDICTION, PREDICTION_ID, RUN_ID, CONTRACT, SOURCE, CREATED_AT),
        *(SHARD_ID, SEQUENCE_NUMBER, TARGET, TARGET_AT),
    }
)
"""No feature, target or answer may have one of these names."""
