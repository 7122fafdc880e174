"""Tests of the memory that training takes: said before it, and refused if there is too little."""

import time

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.errors import DataError
from mlstack.model import matrix_size
from mlstack.model.encoder import Encoder
from mlstack.model.matrix_size import check_matrix_size
from tests.support.wide_contracts import many_values

WIDE = Contract.parse(many_values(1000))


def test_cost_of_a_matrix_is_said(documented: Contract, monkeypatch: pytest.MonkeyPatch) -> None:
    """Columns times rows times four bytes, and what XGBoost adds."""
    monkeypatch.setattr(matrix_size, "available_bytes", lambda: 10**9)
    said = check_matrix_size(documented, 1_000_000)
    assert said == (
        "matrix: 17 columns x 1,000,000 rows x 4 bytes = 68.0 MB; training takes up to 170.0 MB of "
        "memory, and 1.0 GB are available"
    )


def test_matrix_beyond_memory_names_the_widest_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused before the memory ends, with what to do."""
    monkeypatch.setattr(matrix_size, "available_bytes", lambda: 8 * 10**9)
    with pytest.raises(DataError) as caught:
        check_matrix_size(WIDE, 1_000_000)
    message = str(caught.value)
    assert "1,014 columns x 1,000,000 rows x 4 bytes = 4.1 GB" in message
    assert "takes up to 10.1 GB of memory, and 8.0 GB are available" in message
    assert "marital_status (1,000 columns), card_category (4 columns), gender (2" in message
    assert "let other take the rest" in message


def test_wide_category_is_encoded_in_one_look_up() -> None:
    """A thousand values cost no thousand comparisons for each row."""
    encoder, rows = Encoder(WIDE), 20_000
    frame = pd.DataFrame([WIDE.example] * rows)
    values = [f"Merchant {i % 1000}" for i in range(rows)]
    values[7] = None  # type: ignore[call-overload]  # a missing value
    frame["marital_status"] = pd.Series(values, dtype=object)
    began = time.process_time()
    matrix = encoder.encode_frame(frame)
    assert time.process_time() - began < 3
    first = encoder.columns.index("marital_status=Merchant 0")
    wide = matrix[:, first : first + 1000]
    assert np.isnan(wide[7]).all()
    known = np.delete(np.arange(rows), 7)
    np.testing.assert_array_equal(wide[known].argmax(axis=1), known % 1000)
    np.testing.assert_array_equal(wide[known].sum(axis=1), 1)
