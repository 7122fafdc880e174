"""Tests of drawn customers: the sample's are the same with pandas and without."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.data import customer_generator as module
from mlstack.data.customer_generator import main, sample_customers
from mlstack.settings import ROOT

NOT_IN_IMAGE = ("pandas", "numpy", "jsonschema_rs", "pymongo", "xgboost", "mlflow", "filelock")


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


@pytest.mark.parametrize("simulator", ["send_data_api", "send_data_kinesis"])
def test_simulator_starts_without_packages_its_image_lacks(simulator: str) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({NOT_IN_IMAGE})); import {{}}"
    done = subprocess.run(
        [sys.executable, "-c", code.format(f"simulation_business.{simulator}")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
