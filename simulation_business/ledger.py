"""What was put on the stream, against what came back."""

from collections.abc import Iterable

MOST_MISSING = 200_000
"""Missing records that are still looked for; beyond that the oldest are given up."""


class Ledger:
    """Records that wait for their results.

    Args:
        missing_seconds: After how long without a result a record counts as missing.
    """

    def __init__(self, missing_seconds: float) -> None:
        self._missing_seconds = missing_seconds
        self._waiting: dict[str, float] = {}
        self._missing: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """Records without a result that are not missing yet."""
        return len(self._waiting)

    @property
    def missing(self) -> int:
        """Records without a result that should have had one long ago."""
        return len(self._missing)

    def put(self, prediction_ids: Iterable[str], at: float) -> None:
        """Notes records that were put.

        Args:
            prediction_ids: What their predictions are called.
            at: When they were acknowledged, monotonic seconds.
        """
        for prediction_id in prediction_ids:
            self._waiting[prediction_id] = at

    def settle(self, prediction_id: str, at: float) -> float | None:
        """Notes a result or a dead letter.

        Returns:
            Seconds since its record was put; None: the record is nobody's or is settled.
        """
        for records in (self._waiting, self._missing):
            if (put_at := records.pop(prediction_id, None)) is not None:
                return at - put_at
        return None

    def overdue(self, at: float) -> list[str]:
        """Prediction ids of records that have become missing since this was asked last."""
        overdue = [
            prediction_id
            for prediction_id, put_at in self._waiting.items()
            if at - put_at > self._missing_seconds
        ]
        for prediction_id in overdue:
            self._missing[prediction_id] = self._waiting.pop(prediction_id)
        for prediction_id in list(self._missing)[: max(0, len(self._missing) - MOST_MISSING)]:
            del self._missing[prediction_id]
        return overdue
