"""A row stays in its part: a champion is never judged on rows that it has learnt from."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw, split
from mlstack.data.row_hashes import row_hashes
from mlstack.settings import ROOT
from tests.support.raw_tables import raw_table
from tests.support.real_data import real_table

# Of the clean rows, their types and their parts, as the first release made them.
SAMPLE = {"credit_card_churn": "5ef21690123dba57", "credit_card_churn_full": "2aba9365d2db4345"}
REAL = {"credit_card_churn": "4da47239bf54ed7a", "credit_card_churn_full": "97b20dbd1a0170aa"}
REAL_SHA256 = "c91b525a2a6755a1b0b80dad1d0d008ca97ec4df34552c8f47ffa12b6184b779"


def digest(parts: Sequence[pd.DataFrame]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(part.to_csv().encode())
        total.update(str(part.dtypes.to_dict()).encode())
    return total.hexdigest()[:16]


def parts_of(table: Path, contract: Contract) -> str:
    return digest(split(clean(read_raw(table), contract), contract))


def test_rows_of_sample_stay_in_their_parts(contract: Contract) -> None:
    assert contract.data.sample
    assert parts_of(ROOT / contract.data.sample, contract) == SAMPLE[contract.name]


def test_rows_of_real_table_stay_in_their_parts(contract: Contract) -> None:
    table = real_table()
    if table is None or hashlib.sha256(table.read_bytes()).hexdigest() != REAL_SHA256:
        pytest.skip("the real file is not here (DATA_FILE)")
    assert parts_of(table, contract) == REAL[contract.name]


def test_part_depends_on_what_repr_writes(full: Contract) -> None:
    """The fast way of writing rows equals `repr` of each, for every kind of value."""
    rows = clean(raw_table(full, 200), full)
    rows["zero"] = np.where(np.arange(200) % 2, 0.0, -0.0)
    rows["small"] = np.random.default_rng(1).normal(size=200) * 10.0 ** np.arange(-100, 100)
    rows["gap"] = np.where(np.arange(200) % 3, np.nan, np.arange(200))
    rows["text"] = pd.Series([None, "'", '"', "\n", "é"] * 40, index=rows.index, dtype=object)
    rows["wide"] = np.arange(200) * 10**15
    for decimals in range(6):
        shares = np.arange(-100, 100) / 10**decimals
        rows[f"decimals{decimals}"] = np.where(np.arange(200) % 7, shares, np.nan)
    rows["long"] = rows["decimals3"] + 10.0**15
    rows["infinite"] = np.where(np.arange(200) % 2, np.inf, 0.5)
    expected = [
        hashlib.blake2b(repr(row).encode(), digest_size=8, key=(7).to_bytes(8, "big")).digest()
        for row in rows.itertuples(index=False, name=None)
    ]
    assert row_hashes(rows, 7).astype(">u8").tobytes() == b"".join(expected)
