"""What runs in an image, or with a lock of its own, imports no package beyond that lock."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions

import pytest
from packaging.utils import canonicalize_name

from mlstack.settings import ROOT

MODULES = {
    "api": (
        "server.predict_api_server",
        *("mlstack.prediction_log.keeper", "mlstack.prediction_log.mongo_account"),
        "mlstack.model.contributions",
    ),
    "streams": ("server.serve_kinesis", "mlstack.deployment.member"),
    "monitor": ("monitoring.evidently_service.app",),
    "aws": ("operations.aws.init_aws", "mlstack.data.customer_generator"),
    "agent": (
        *("model_orchestration.model_train_flow", "reporting.create_report", "server.deploy"),
        "mlstack.deployment.shared_state",
        *("mlstack.model.model_writer", "operations.receipts.command"),
    ),
    "dask": ("model_orchestration.dask_node",),
    "simulate-api": ("simulation_business.send_data_api",),
    "simulate-streams": ("simulation_business.send_data_kinesis",),
    "operate": (
        *("operations.stack", "operations.doctor", "operations.containers.stack"),
        *("operations.containers.checks", "operations.containers.job"),
        "operations.containers.security",
    ),
}
"""Modules that are started, by the lock of the packages that are there."""


@pytest.mark.parametrize("lock", MODULES)
def test_modules_need_only_packages_of_their_lock(lock: str) -> None:
    """A service starts in its image, which has fewer packages than a developer's machine."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    there = {canonicalize_name(name) for name in re.findall(r"(?m)^([\w.-]+)==", text)}
    blocked = [
        module
        for module, names in packages_distributions().items()
        if not {canonicalize_name(name) for name in names} & there
    ]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n"
        f"import {', '.join(MODULES[lock])}\n"
        "sys.exit(any(name.startswith('operations.embedded') for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
