"""Tests of drawn customers: the sample's are the same with pandas and without."""

from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.data import customer_generator as module
from mlstack.data.customer_generator import main, sample_customers
from mlstack.settings import ROOT


def test_written_customers_are_those_of_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract: Contract
) -> None:
    """Images are built with the written file, and without the sample."""
    cleaned = sample_customers(contract)
    assert cleaned
    folder = tmp_path / "contracts"
    folder.mkdir()
    for file in (ROOT / "contracts").iterdir():
        if file.suffix in {".csv", ".yaml"}:
            (folder / file.name).symlink_to(file)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    main()
    for sample in folder.glob("*.csv"):
        sample.unlink()
    assert sample_customers(contract) == cleaned
