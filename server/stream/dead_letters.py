"""Build dead letters: records that cannot be answered, complete and with reasons."""

import base64
import json
from collections.abc import Iterator

from mlstack.contract.prediction_fields import SEQUENCE_NUMBER, SHARD_ID
from mlstack.errors import MAX_ERRORS, InvalidCustomer, MlstackError, shortened
from mlstack.streams.reading import Record
from mlstack.web.strict_json import InvalidJson

PART_BYTES = 600 * 1024
"""Raw bytes per letter: 800 KiB in base64."""

_TEXT_BYTES = 4 * 1024
"""Size limit of each text about an error: those of `MAX_ERRORS` errors fit beside the data into
Kinesis' 1 MiB, however long the contract's own texts are."""

_CHARACTER_BYTES = 12
"""Largest size of a character in JSON: two escapes."""


class InternalError(MlstackError):
    """Our own code fails on a record: a defect, but no reason to stop the shard."""


def dead_letters(
    stream_name: str, shard_id: str, record: Record, error: MlstackError
) -> Iterator[bytes]:
    """Build the letters for a record; a large record takes several parts."""
    pieces = [
        record.data[start : start + PART_BYTES]
        for start in range(0, max(1, len(record.data)), PART_BYTES)
    ]
    for number, piece in enumerate(pieces, 1):
        letter = {
            "stream": stream_name,
            SHARD_ID: shard_id,
            SEQUENCE_NUMBER: record.sequence_number,
            "arrived_at": record.arrived_at.isoformat(),
            "reason": _reason(error),
            "errors": _errors(error),
            "part": number,
            "parts": len(pieces),
            "data": base64.b64encode(piece).decode(),
        }
        yield json.dumps(letter).encode()


def _reason(error: MlstackError) -> str:
    """Return the code that the HTTP server uses for the error."""
    if isinstance(error, InvalidJson):
        return error.code
    return "invalid_customer" if isinstance(error, InvalidCustomer) else "internal_error"


def _errors(error: MlstackError) -> list[dict[str, str]]:
    errors = [{"pointer": "", "code": _reason(error), "detail": str(error)}]
    if isinstance(error, InvalidCustomer):
        errors = [fault.document() for fault in error.errors[:MAX_ERRORS]]
    return [{name: _shortened(text) for name, text in fault.items()} for fault in errors]


def _shortened(text: str) -> str:
    if len(json.dumps(text[:_TEXT_BYTES])) <= _TEXT_BYTES:
        return text  # with its quotes, a text that was cut here would be longer
    return shortened(text, _TEXT_BYTES // _CHARACTER_BYTES)
