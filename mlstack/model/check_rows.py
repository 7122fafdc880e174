"""Rows with XGBoost's margins, which verify a model's ONNX form whenever it is loaded."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from mlstack.model.encoder import Matrix
from mlstack.model.engine import Engine
from mlstack.model.targets import Margins

_COUNT = 256
_MISSING_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class CheckRows:
    """Encoded rows, shape (256, n_columns), and XGBoost's margins, shape (256, n_outputs)."""

    matrix: Matrix
    margins: Margins

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Read what `pack` has written."""
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            matrix = np.zeros((len(arrays["values"]), int(arrays["width"])), dtype=np.float32)
            matrix[:, arrays["columns"]] = arrays["values"]
            return cls(matrix, arrays["margins"])

    def pack(self) -> bytes:
        """Write the rows without columns of zeros, which no split reads."""
        columns = np.flatnonzero((self.matrix != 0).any(axis=0))
        content = io.BytesIO()
        np.savez_compressed(
            content,
            width=self.matrix.shape[1],
            columns=columns,
            values=self.matrix[:, columns],
            margins=self.margins,
        )
        return content.getvalue()

    def count_differences(self, engine: Engine) -> int:
        """Count the rows with other margins, alone or in a batch; 0 if the engine is exact."""
        alone = np.concatenate([engine.margins(row[np.newaxis]) for row in self.matrix])
        differ = (engine.margins(self.matrix) != self.margins) | (alone != self.margins)
        return int(differ.any(axis=1).sum())


def draw_rows(splits: Mapping[int, NDArray[np.float32]], width: int) -> Matrix:
    """Draw rows whose values are those at which trees split, just below them, or missing.

    `splits` are a model's split values by column. The rows are always the same for the same model;
    the first misses every value.
    """
    matrix = np.zeros((_COUNT, width), dtype=np.float32)
    draws = np.random.default_rng(0)
    for column, values in splits.items():
        drawn = draws.choice(values, _COUNT)
        below = np.nextafter(drawn, np.float32(-np.inf))
        drawn = np.where(draws.random(_COUNT) < 1 / 2, drawn, below)
        drawn[draws.random(_COUNT) < _MISSING_SHARE] = np.nan
        matrix[:, column] = drawn
    matrix[0] = np.nan
    return matrix
