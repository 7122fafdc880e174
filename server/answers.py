"""Write the JSON of answers: one way for both ways through the server."""

from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode


def encode(document: Any) -> bytes:
    """Encode an answer on one line, with spaces as people write it."""
    return msgspec.json.format(_encode(document), indent=0)
