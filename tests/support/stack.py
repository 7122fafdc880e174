"""A whole stack under test, in processes or containers."""

from typing import Any, Protocol

import pandas as pd
import requests
from mlflow import MlflowClient

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.data.customer_table import table_customers
from mlstack.data.dataset import clean
from mlstack.settings import ROOT
from tests.support.project_copy import ProjectCopy

_BATCH = 1000


class Runtime(Protocol):
    """The difference between processes and containers."""

    def kill(self, service: str) -> None:
        """Kill a service's process; return when it has been started again."""

    def is_ready(self, service: str) -> bool:
        """Say whether `make status` or the engine calls a service ready."""


class Stack:
    """A stack that was brought up, trained and deployed.

    Args:
        project: The copy of the project that it runs from.
        runtime: How its services are killed and looked at.
        held_out: Raw rows that it was not trained on.
    """

    environment: str
    """What make calls it."""

    def __init__(self, project: ProjectCopy, runtime: Runtime, held_out: pd.DataFrame) -> None:
        self.project, self.runtime = project, runtime
        self.contract = Contract.load(ROOT / "contracts" / "credit_card_churn.yaml")
        self.held_out = clean(held_out, self.contract)
        self.api = f"http://127.0.0.1:{project.port('API_PORT')}"
        self.mlflow = f"http://127.0.0.1:{project.port('MLFLOW_PORT')}"

    def make(self, *targets: str, **variables: str) -> str:
        """Run make, which has to succeed; return what it says."""
        done = self.project.make(*targets, timeout=1200, **variables)
        assert done.returncode == 0, done.stdout
        return done.stdout

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.mlflow)

    def customers(self) -> list[Customer]:
        return table_customers(self.held_out, self.contract)

    def answers(self) -> list[dict[str, Any]]:
        """Predict the customers that were left out of the training."""
        customers = self.customers()
        answers: list[dict[str, Any]] = []
        for start in range(0, len(customers), _BATCH):
            batch = customers[start : start + _BATCH]
            answer = requests.post(f"{self.api}/predict/batch", json=batch, timeout=30)
            assert answer.status_code == 200, answer.text
            answers += answer.json()
        return answers

    def chances(self) -> list[float]:
        return [answer[self.contract.answer] for answer in self.answers()]

    def served_run(self) -> str | None:
        try:
            answer = requests.get(f"{self.api}/health/ready", timeout=5)
        except requests.ConnectionError:
            return None
        return answer.json()["model_run_id"] if answer.status_code == 200 else None

    def champion(self) -> str:
        version = self.client.get_model_version_by_alias("credit_card_churn", "champion")
        return str(version.run_id)

    def trials(self) -> list[Any]:
        """List the runs of the newest registered search, its winner among them."""
        versions = self.client.search_model_versions("")
        newest = max(versions, key=lambda version: version.creation_timestamp)
        winner = self.client.get_run(str(newest.run_id))
        parent_id = winner.data.tags["mlflow.parentRunId"]
        return list(
            self.client.search_runs(
                [winner.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent_id}'"
            )
        )

    def another_run(self) -> str:
        """Find a run of the newest search that is not served."""
        served = self.served_run()
        return next(str(t.info.run_id) for t in self.trials() if t.info.run_id != served)
