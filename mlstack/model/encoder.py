"""Encode features as the float32 matrix for training and serving."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlstack.contract import CategoryFeature, Contract, DateFeature
from mlstack.contract.days import day_number

if TYPE_CHECKING:
    import pandas as pd

Matrix = NDArray[np.float32]


class Encoder:
    """Encodes customers by a contract.

    Numbers, ordinals and booleans take one column each, dates one with the days since their base,
    categories one per value (one-hot). A missing value is NaN in every column of its feature.
    """

    def __init__(self, contract: Contract) -> None:
        columns: list[str] = []
        self.widths: dict[str, int] = {}
        """Number of columns of each feature that a model sees."""
        self._numeric: list[tuple[str, int]] = []
        self._one_hot: list[tuple[str, int, dict[Any, int], int]] = []
        self._dates: list[tuple[DateFeature, int]] = []
        for feature in contract.model_features:
            start = len(columns)
            if isinstance(feature, CategoryFeature):
                columns += [f"{feature.name}={value}" for value in feature.values]
                codes = {value: start + i for i, value in enumerate(feature.values)}
                self._one_hot.append((feature.name, start, codes, len(columns)))
            elif isinstance(feature, DateFeature):
                columns.append(feature.name)
                self._dates.append((feature, start))
            else:
                columns.append(feature.name)
                self._numeric.append((feature.name, start))
            self.widths[feature.name] = len(columns) - start
        self.columns = tuple(columns)
        """Column names of the matrix, in order."""

    def encode(self, customers: Sequence[Mapping[str, Any]]) -> Matrix:
        """Encode validated customers as a matrix of shape (n_customers, n_columns).

        An absent or null feature is missing.
        """
        numbers: list[float | None] = []
        for customer in customers:
            row: list[float | None] = [0.0] * len(self.columns)
            for name, column in self._numeric:
                row[column] = customer.get(name)
            for date, column in self._dates:
                day, base = customer.get(date.name), customer.get(date.since or "")
                if day is None or base is None:
                    row[column] = None
                else:
                    row[column] = day_number(day) - day_number(base)
            for name, start, codes, end in self._one_hot:
                value = customer.get(name)
                if value is None:
                    row[start:end] = [None] * (end - start)
                else:
                    row[codes[value]] = 1.0
            numbers += row
        # NumPy makes NaN of None.
        return np.array(numbers, dtype=np.float32).reshape(len(customers), len(self.columns))

    def encode_frame(self, frame: "pd.DataFrame") -> Matrix:
        """Encode a table from `dataset.clean` as a matrix of shape (n_rows, n_columns)."""
        import pandas as pd  # noqa: PLC0415 - servers encode no tables and do without pandas

        from mlstack.data.dates import days_since  # noqa: PLC0415 - as above

        matrix = np.empty((len(frame), len(self.columns)), dtype=np.float32)
        for name, column in self._numeric:
            matrix[:, column] = frame[name].to_numpy(dtype=np.float32, na_value=np.nan)
        for date, column in self._dates:
            matrix[:, column] = days_since(frame, date)
        for name, start, codes, end in self._one_hot:
            values = frame[name]
            # One look-up a row: comparisons with each of a thousand values would take minutes.
            positions = pd.Index(list(codes)).get_indexer(pd.Index(values))
            known = np.flatnonzero(positions >= 0)
            matrix[:, start:end] = 0
            matrix[known, start + positions[known]] = 1
            matrix[values.isna().to_numpy(), start:end] = np.nan
        return matrix
