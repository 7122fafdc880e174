"""What every stack does, in every environment.

A test file brings a stack up in a fixture `stack` and inherits these. The tests share it.
"""

import time
from dataclasses import dataclass
from typing import Self

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from mlstack.model.encoder import Encoder
from tests.support.load import Load
from tests.support.stack import Stack
from tests.support.waiting import wait_until


class StackBehaviour:
    """Tests of a stack that has just been trained and deployed."""

    trials = 50
    """Models that the stack's first search trained."""

    def test_held_out_customers_are_predicted_well(self, stack: Stack) -> None:
        """The model is better than chance on customers that it has not seen."""
        auc = roc_auc_score(stack.held_out[stack.contract.target.name], stack.chances())
        # Five folds of the real table give .81 with a spread of .02; chance alone gives .5.
        assert auc > 0.75

    def test_every_trial_is_tracked_and_the_best_registered(self, stack: Stack) -> None:
        """Each trial is a finished run; the one with the lowest error has the aliases."""
        version = stack.client.get_model_version_by_alias("credit_card_churn", "champion")
        trials = stack.trials()
        assert len(trials) == self.trials
        assert {trial.info.status for trial in trials} == {"FINISHED"}
        best = min(trials, key=lambda trial: trial.data.metrics["rmse"])
        assert best.info.run_id == version.run_id
        challenger = stack.client.get_model_version_by_alias("credit_card_churn", "challenger")
        assert challenger.version == version.version

    def test_registered_model_opens_with_mlflow(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It gives the server's own answers."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", stack.mlflow)
        mlflow.set_tracking_uri(stack.mlflow)
        model = mlflow.pyfunc.load_model("models:/credit_card_churn@champion")
        encoder = Encoder(stack.contract)
        matrix = pd.DataFrame(encoder.encode(stack.customers()), columns=list(encoder.columns))
        np.testing.assert_allclose(stack.chances(), model.predict(matrix), atol=1e-6)


def check_killed_service_comes_back(stack: Stack, service: str, seconds: float = 90) -> None:
    """Check that a killed service is started again, and that the same model is served."""
    served = stack.served_run()
    stack.runtime.kill(service)
    wait_until(lambda: stack.runtime.is_ready(service), f"{service} is ready", seconds=seconds)
    wait_until(lambda: stack.served_run() == served, "the same model is served", seconds=30)


def check_deploys_by_turns(stack: Stack, load: Load, deploys: int) -> str:
    """Deploy another model and the champion by turns; answers after a deploy are its own.

    Returns:
        The run of the other model.
    """
    first, other = stack.champion(), stack.another_run()
    for number in range(deploys):
        run_id = other if number % 2 == 0 else first
        stack.make("deploy", RUN_ID=run_id)
        ready = time.monotonic()
        load.wait_for_requests_after(ready + 0.3)
        late = {s.run_id for s in load.sent if s.begun > ready}
        assert late == {run_id}
    return other


@dataclass(frozen=True)
class Kept:
    """What a backup has to save of a stack."""

    run: str | None
    chances: list[float]
    champion: str
    deployments: str

    @classmethod
    def of(cls, stack: Stack) -> Self:
        """Read it from a stack."""
        deployments = stack.project.make("deployments")
        assert deployments.returncode == 0, deployments.stdout
        return cls(stack.served_run(), stack.chances(), stack.champion(), deployments.stdout)


def check_backup_comes_back(stack: Stack, kept: Kept, environment: str) -> None:
    """Check that a backup is restored into a stack of which nothing is left.

    Args:
        stack: After `make reset_all`.
        kept: What it was when the only backup in its folder was taken.
        environment: Where it is restored.
    """
    (backup,) = (stack.project.folder / "backups").iterdir()
    assert backup.stat().st_mode & 0o077 == 0
    for target, given in (
        ("setup-model-registry", {"env": environment}),
        ("restore", {"BACKUP": f"backups/{backup.name}"}),
        ("setup-model-serve", {}),
    ):
        done = stack.project.make(target, timeout=600, **given)
        assert done.returncode == 0, done.stdout
        if target == "restore":
            assert "restored: backup of" in done.stdout
    assert Kept.of(stack) == kept
    again = stack.project.make("restore", BACKUP=f"backups/{backup.name}")
    assert again.returncode != 0
    assert "A restore never overwrites data" in again.stdout
