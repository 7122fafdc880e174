"""What the engines hand to the processor, and how a record's bytes are read."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlstack.streams.record_ids import record_prediction_id
from mlstack.web.strict_json import InvalidJson, parse


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it was made: one of the same name that was made later is another one.

    Args:
        name: Its name.
        created_at: When it was made.
    """

    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a shard.

    Args:
        sequence_number: Its number in the shard.
        data: What was put.
        arrived_at: When Kinesis took it.
    """

    sequence_number: str
    data: bytes
    arrived_at: datetime


def prediction_id(stream: Stream, shard_id: str, record: Record) -> str:
    """Names the prediction of a record; the same however often the record is read."""
    return record_prediction_id(stream.name, stream.created_at, shard_id, record.sequence_number)


def payload(data: bytes) -> Any:
    """Reads a record's JSON, or the base64 of it.

    The documented `aws kinesis put-record --data <base64>` arrives encoded once more than
    meant when it is version 1 of the command that sends it.

    Raises:
        InvalidJson: it is neither.
    """
    try:
        return parse(data)
    except InvalidJson as error:
        decoded = _decoded(data)
        if decoded is None:
            raise
        try:
            return parse(decoded)
        except InvalidJson:
            # Almost any word is base64 of something: the fault inside is of use only
            # where somebody did mean an object.
            if decoded.lstrip().startswith(b"{"):
                raise
            raise error from None


def _decoded(data: bytes) -> bytes | None:
    """What the data is the base64 of; None: of nothing. Line breaks are `base64`'s own."""
    try:
        return base64.b64decode(b"".join(data.split()), validate=True)
    except binascii.Error:
        return None
