"""An entry of the spool: a prediction or an outcome on its way to MongoDB."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from mlstack.errors import MlstackError

PREDICTION: Final = "prediction"
OUTCOME: Final = "outcome"
KINDS: Final = (PREDICTION, OUTCOME)

Document = Mapping[str, Any]
"""A prediction or an outcome, as MongoDB has it."""


class UnreadableEntry(MlstackError):
    """The entry can never be stored."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry; later ones have higher numbers. `written_at` is in epoch seconds."""

    number: int
    kind: str
    body: bytes
    written_at: float

    @classmethod
    def of_row(cls, number: int, kind: Any, body: Any, written_at: Any) -> Self:
        """Make an entry of a row; one that is damaged may hold values of any type."""
        content = body if isinstance(body, bytes) else str(body).encode()
        return cls(number, str(kind), content, epoch_seconds(written_at))

    def document(self) -> Document:
        """Parse the body. Raises UnreadableEntry."""
        if self.kind not in KINDS:
            raise UnreadableEntry(f"the kind {self.kind[:64]!r} is unknown")
        try:
            document = json.loads(self.body, parse_int=_number)
        except (ValueError, OverflowError, RecursionError) as error:
            raise UnreadableEntry(f"it is no JSON: {error}") from error
        if not isinstance(document, dict):
            raise UnreadableEntry("it is no JSON object")
        return document


def epoch_seconds(value: Any) -> float:
    """Return a row's time, or 0 if it is damaged."""
    return float(value) if isinstance(value, int | float) else 0.0


def _number(digits: str) -> int | float:
    """Read a JSON integer; beyond 64 bits it is a double, as BSON has no such integers."""
    number = int(digits)
    return number if -(2**63) <= number < 2**63 else float(number)
