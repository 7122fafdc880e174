"""Customers of the sample: the same with pandas and without."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.data import sample_customers as module
from mlstack.data.sample_customers import main, sample_customers
from mlstack.settings import ROOT

WITHOUT = ("pandas", "numpy", "jsonschema_rs", "pymongo", "xgboost", "mlflow", "filelock")


def test_what_images_are_built_with_is_what_the_sample_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contract: Contract
) -> None:
    cleaned = sample_customers(contract)
    assert cleaned
    (tmp_path / "contracts").symlink_to(ROOT / "contracts")
    (tmp_path / "data").mkdir()
    for sample in (ROOT / "contracts").glob("*.csv"):
        (tmp_path / "data" / sample.name).symlink_to(sample)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    assert main() == 0
    for sample in (tmp_path / "data").glob("*.csv"):
        sample.unlink()
    assert sample_customers(contract) == cleaned


@pytest.mark.parametrize("simulator", ["send_data_api", "send_data_kinesis"])
def test_a_simulator_starts_without_what_its_image_does_not_have(simulator: str) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({WITHOUT})); import {{}}"
    done = subprocess.run(
        [sys.executable, "-c", code.format(f"simulation_business.{simulator}")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
