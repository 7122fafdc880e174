"""Load the table that the notebooks show."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from mlstack.contract import Contract
from mlstack.data.dataset import read_raw
from mlstack.data.table_source import read_source
from mlstack.errors import SettingsError
from mlstack.settings import Settings


@dataclass(frozen=True, slots=True)
class Table:
    """A contract, its raw table as text, and a sentence on the table's origin."""

    contract: Contract
    raw: pd.DataFrame
    origin: str


def load_table() -> Table:
    """Read the table named by `DATA_FILE`, or else the contract's synthetic sample.

    It never downloads the public file, so that a notebook's output is reproducible.

    Raises:
        SettingsError: the file does not exist, or the contract has no sample.
        DataError: the file is not a table.
    """
    settings = Settings.load()
    contract = Contract.load(settings.contract_path)
    named = settings.data_file
    if named is None and contract.data.sample is None:
        raise SettingsError(f"{contract.name} has no sample: set DATA_FILE to your table")
    content = read_source(named or Path(str(contract.data.sample)))
    kind = f"The table is {named.name}" if named else f"The synthetic sample {contract.data.sample}"
    origin = f"{kind} (SHA-256 {hashlib.sha256(content).hexdigest()[:16]}...)."
    return Table(contract, read_raw(content).frame(), origin)
