"""Register winners as model versions in MLflow, and name the best one champion."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlstack.contract import Contract
from mlstack.errors import ModelError, ModelNotKept, RegistryUnavailable
from mlstack.model.mlflow_api import connect, explain
from mlstack.model.model_store import ModelStore
from mlstack.model.target_columns import labels
from mlstack.quality.results import explain_outcomes
from model_orchestration.metrics import HEADLINES, evaluate, loss_name
from model_orchestration.names import CHALLENGER, CHAMPION, TEST_PREFIX
from model_orchestration.tracking import Winner
from model_orchestration.trial_runs import TrackingError


@dataclass(frozen=True, slots=True)
class Registration:
    """A new version of a registered model, and why it is the champion or not."""

    name: str
    version: str
    aliases: tuple[str, ...]
    reason: str


def register(contract: Contract, winner: Winner, test: pd.DataFrame) -> Registration:
    """Register a search's winner and decide whether it becomes the champion.

    Both are compared on `test`, the clean test rows with target. While the table is unchanged,
    neither was trained or selected on these rows. The contract's name is also that of the model.

    Raises:
        TrackingError: MLflow is unreachable or rejects the request.
        RegistryUnavailable: MLflow cannot provide the champion at the moment.
        ModelNotKept: this machine cannot store the champion.
    """
    client, name = connect(), contract.name
    try:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description=contract.description)
        champion = _champion(client, name)
        figures, headline = winner.test_metrics, HEADLINES[type(contract.target)]
        tags = {TEST_PREFIX + key: f"{figures[key]:.6f}" for key in headline if key in figures}
        version = str(
            mlflow.register_model(
                f"models:/{winner.model_id}", name, tags={"run_id": winner.run_id, **tags}
            ).version
        )
        client.set_registered_model_alias(name, CHALLENGER, version)
        wins, reason = _compare(figures[headline[0]], champion, contract, test)
        if wins:
            client.set_registered_model_alias(name, CHAMPION, version)
    except MlflowException as error:
        raise TrackingError(f"MLflow could not register the winner: {explain(error)}") from error
    aliases = (CHALLENGER, CHAMPION) if wins else (CHALLENGER,)
    return Registration(name, version, aliases, reason)


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    version = client.get_registered_model(name).aliases.get(CHAMPION)
    return client.get_model_version(name, version) if version else None


def _compare(
    loss: float, champion: ModelVersion | None, contract: Contract, test: pd.DataFrame
) -> tuple[bool, str]:
    if champion is None:
        return True, "there was no champion"
    current = f"version {champion.version}, the champion until now,"
    if not champion.run_id:
        return True, f"{current} was registered without a run and cannot be compared"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            model = ModelStore(Path(scratch)).load(str(champion.run_id))
    except (RegistryUnavailable, ModelNotKept):
        raise  # these errors do not make the champion unusable
    except ModelError as error:
        return True, f"{current} can no longer be loaded: {error}"
    if model.contract.digest != contract.digest:
        return True, f"{current} was trained with another contract and cannot be compared"
    scores = model.score_matrix(model.encoder.encode_frame(test))
    outcomes = labels(contract.target, test[contract.target.name])
    name = loss_name(contract.target)
    champion_loss = evaluate(contract.target, outcomes, scores)[name]
    compared = f"test {name} {loss:.4f}, {current} {champion_loss:.4f}"
    if too_few := explain_outcomes(len(test)):
        compared = f"compared with {current} on {too_few}"
    wins = loss <= champion_loss
    return wins, f"{'no worse' if wins else 'worse'}: {compared}"
