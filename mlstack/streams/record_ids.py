"""The prediction id of a stream's record: one function for whoever reads or writes streams."""

import uuid
from datetime import UTC, datetime

_NAMESPACE = uuid.UUID("0b6b1f0e-52a7-5d0f-8f0a-6f1d5a0c3e21")
"""Keeps these ids apart from other UUIDs of version 5; must never change."""


def record_prediction_id(
    stream: str, created_at: datetime, shard_id: str, sequence_number: str
) -> str:
    """Names the prediction of a record: read twice, it is the same prediction.

    Args:
        stream: The stream's name.
        created_at: When the stream was created; a stream made anew has other ids.
        shard_id: The record's shard.
        sequence_number: Its number in the shard, as PutRecords and GetRecords return it.
    """
    created = int(created_at.astimezone(UTC).timestamp())
    return str(uuid.uuid5(_NAMESPACE, f"{stream}/{created}/{shard_id}/{sequence_number}"))
