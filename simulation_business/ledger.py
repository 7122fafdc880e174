"""Records on the stream that wait for their results."""

from collections.abc import Iterable

MAX_MISSING = 200_000
"""Missing records that may still be answered; beyond that the oldest are forgotten."""


class Ledger:
    """Knows which records wait for a result, and which are missing one.

    Args:
        missing_seconds: A record without a result for so long is missing.
    """

    def __init__(self, missing_seconds: float) -> None:
        self._missing_seconds = missing_seconds
        self._waiting: dict[str, float] = {}
        self._missing: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """Number of records without a result that are not missing yet."""
        return len(self._waiting)

    @property
    def missing(self) -> int:
        """Number of missing records."""
        return len(self._missing)

    def put(self, prediction_ids: Iterable[str], at: float) -> None:
        """Note records that were acknowledged at a time, monotonic seconds."""
        for prediction_id in prediction_ids:
            self._waiting[prediction_id] = at

    def settle(self, prediction_id: str, at: float) -> float | None:
        """Note a result or a dead letter.

        Returns:
            Seconds since its record was put; None: the record is another sender's, or settled.
        """
        for records in (self._waiting, self._missing):
            if (put_at := records.pop(prediction_id, None)) is not None:
                return at - put_at
        return None

    def overdue(self, at: float) -> list[str]:
        """Return prediction ids of records that have become missing since the last call."""
        overdue = [
            prediction_id
            for prediction_id, put_at in self._waiting.items()
            if at - put_at > self._missing_seconds
        ]
        for prediction_id in overdue:
            self._missing[prediction_id] = self._waiting.pop(prediction_id)
        for prediction_id in list(self._missing)[: max(0, len(self._missing) - MAX_MISSING)]:
            del self._missing[prediction_id]
        return overdue
