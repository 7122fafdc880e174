"""Servers start, load a model and score without the large packages of training."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlstack.contract import Contract
from mlstack.settings import ROOT
from tests.support.models import keep_model

RUN_ID = "a" * 32
LARGE = ("mlflow", "onnx", "pandas", "scipy", "sklearn", "xgboost")
CODE = """
import importlib, json, sys
from pathlib import Path
from mlstack.model.model_store import ModelStore
importlib.import_module(sys.argv[1])
model = ModelStore(Path(sys.argv[2])).load(sys.argv[3])
model.score([model.contract.example])
print(json.dumps([name for name in sys.argv[4:] if name in sys.modules]))
"""


@pytest.mark.parametrize("module", ["server.predict_api_server", "server.serve_kinesis"])
def test_server_scores_without_large_packages(
    module: str, tmp_path: Path, documented: Contract
) -> None:
    """Each would cost its start up to a second, and each worker up to 60 MiB."""
    copy = keep_model(tmp_path, RUN_ID, documented, seed=1)
    command = [sys.executable, "-c", CODE, module, str(copy.parent), RUN_ID, *LARGE]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
