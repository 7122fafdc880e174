"""Keep the newest rows, without duplicates."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import pandas as pd

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import MORE, PREDICTION, RUN_ID, TARGET
from mlstack.contract.target import Outcome
from mlstack.data.customer_table import customer_table
from mlstack.data.outcome_table import outcome_table
from monitoring.evidently_service.rows import Row

Key = str | int
"""Prediction id, or a number for a row without one."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The window at one moment, oldest row first; each change increments `version`."""

    version: int
    rows: Sequence[Row]

    def table(self, contract: Contract) -> pd.DataFrame:
        """Return `customer_table`'s features, `outcome_table`'s columns, and `RUN_ID`."""
        outcomes = outcome_table(
            [{PREDICTION: row.prediction, TARGET: row.target, MORE: row.more} for row in self.rows],
            contract.target,
        )
        outcomes[RUN_ID] = pd.Series([row.run_id for row in self.rows], dtype=object)
        return customer_table([row.customer for row in self.rows], contract).join(outcomes)


class Window:
    """The newest rows, at most `size`. Thread-safe."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: dict[Key, Row] = {}
        self._numbers = count()
        self._version = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Sequence[Row]) -> int:
        """Add rows and return how many were new.

        A known row keeps its position, and gets its outcome if it had none.
        """
        with self._lock:
            added = 0
            for row in rows:
                key = self._key(row)
                known = self._rows.get(key)
                if known is None:
                    self._rows[key] = row
                    added += 1
                elif known.target is None and row.target is not None:
                    self._rows[key] = replace(known, target=row.target)
            self._changed()
            return added

    def prepend(self, rows: Sequence[Row]) -> None:
        """Insert rows older than all others at the front, as far as there is room."""
        with self._lock:
            older = {self._key(row): row for row in rows}
            self._rows = {**{k: r for k, r in older.items() if k not in self._rows}, **self._rows}
            self._changed()

    def set_outcomes(self, outcomes: Mapping[str, Outcome]) -> None:
        """Set the outcomes of rows, by prediction id."""
        with self._lock:
            changed = {
                key: replace(row, target=outcomes[key])
                for key, row in self._rows.items()
                if isinstance(key, str) and key in outcomes and row.target != outcomes[key]
            }
            if changed:
                self._rows.update(changed)
                self._changed()

    def prediction_ids(self) -> list[str]:
        """List the prediction ids of all rows that have one."""
        with self._lock:
            return [key for key in self._rows if isinstance(key, str)]

    def snapshot(self) -> Snapshot:
        """Copy the current window."""
        with self._lock:
            return Snapshot(self._version, list(self._rows.values()))

    def _key(self, row: Row) -> Key:
        return next(self._numbers) if row.prediction_id is None else row.prediction_id

    def _changed(self) -> None:
        self._version += 1
        while len(self._rows) > self.size:
            del self._rows[next(iter(self._rows))]
