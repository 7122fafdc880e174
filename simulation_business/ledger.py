"""Track records on the stream that wait for their results."""

from collections.abc import Iterable

MAX_MISSING = 200_000
"""Maximum number of missing records; beyond that the oldest are forgotten."""


class Ledger:
    """Tracks records without a result; after `missing_seconds` they count as missing."""

    def __init__(self, missing_seconds: float) -> None:
        self._missing_seconds = missing_seconds
        self._waiting: dict[str, float] = {}
        self._missing: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """Number of records that wait for a result and are not missing yet."""
        return len(self._waiting)

    @property
    def missing(self) -> int:
        """Number of missing records."""
        return len(self._missing)

    def put(self, prediction_ids: Iterable[str], at: float) -> None:
        """Add records that were acknowledged at a monotonic time."""
        for prediction_id in prediction_ids:
            self._waiting[prediction_id] = at

    def settle(self, prediction_id: str, at: float) -> float | None:
        """Remove a record that has a result or a dead letter.

        Returns the seconds since it was put; None if it is another sender's or already removed.
        """
        for records in (self._waiting, self._missing):
            if (put_at := records.pop(prediction_id, None)) is not None:
                return at - put_at
        return None

    def overdue(self, at: float) -> list[str]:
        """Return the prediction ids of records that became missing since the last call."""
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
