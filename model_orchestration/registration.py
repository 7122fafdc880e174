"""The model registry: every winner becomes a version, the best of them the champion."""

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
from mlstack.model.model_store import ModelStore
from model_orchestration.metrics import evaluate
from model_orchestration.mlflow_api import TrackingError
from model_orchestration.names import CHALLENGER, CHAMPION, TEST_PREFIX
from model_orchestration.tracking import Winner


@dataclass(frozen=True, slots=True)
class Registered:
    """A new version in the registry.

    Attributes:
        name: Of the registered model.
        version: Of the new one.
        aliases: Which it holds now.
        reason: Why it is the champion, or why it is not, as a sentence.
    """

    name: str
    version: str
    aliases: tuple[str, ...]
    reason: str


def register(
    client: MlflowClient, contract: Contract, winner: Winner, test: pd.DataFrame
) -> Registered:
    """Registers a search's winner and decides on the champion.

    Both are compared on the same rows, which neither was trained on or chosen by as long as
    the table is the same.

    Args:
        client: Of the tracking server.
        contract: What the winner was trained with; its name names the registered model.
        winner: Of the search.
        test: Clean rows with target, on which the winner has its test figures.

    Raises:
        TrackingError: MLflow cannot be reached, or refuses.
        RegistryUnavailable: MLflow cannot give the champion just now.
        ModelNotKept: this machine cannot take it.
    """
    name = contract.name
    try:
        if not client.search_registered_models(f"name = '{name}'"):
            client.create_registered_model(name, description=contract.description)
        champion = _champion(client, name)
        figures = winner.test_metrics
        tags = {TEST_PREFIX + key: f"{figures[key]:.6f}" for key in ("rmse", "auc")}
        version = str(
            mlflow.register_model(
                f"models:/{winner.model_id}", name, tags={"run_id": winner.run_id, **tags}
            ).version
        )
        client.set_registered_model_alias(name, CHALLENGER, version)
        wins, reason = _beats(figures["rmse"], champion, contract, test)
        if wins:
            client.set_registered_model_alias(name, CHAMPION, version)
    except MlflowException as error:
        raise TrackingError(f"MLflow does not register the winner: {error}") from error
    aliases = (CHALLENGER, CHAMPION) if wins else (CHALLENGER,)
    return Registered(name, version, aliases, reason)


def _champion(client: MlflowClient, name: str) -> ModelVersion | None:
    version = client.get_registered_model(name).aliases.get(CHAMPION)
    return client.get_model_version(name, version) if version else None


def _beats(
    rmse: float, champion: ModelVersion | None, contract: Contract, test: pd.DataFrame
) -> tuple[bool, str]:
    if champion is None:
        return True, "there was no champion yet"
    who = f"version {champion.version}, the champion until now,"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            model = ModelStore(Path(scratch)).load(str(champion.run_id))
    except (RegistryUnavailable, ModelNotKept):
        raise  # the champion is none the worse for it
    except ModelError as error:
        return True, f"{who} cannot be loaded any more: {error}"
    if model.contract.digest != contract.digest:
        return True, f"{who} was trained by another contract and cannot be compared"
    chances = model.score_matrix(model.encoder.encode_frame(test))
    theirs = evaluate(test[contract.target.name].to_numpy(), chances)["rmse"]
    compared = f"test rmse {rmse:.4f}, {who} {theirs:.4f}"
    return (True, f"no worse: {compared}") if rmse <= theirs else (False, f"worse: {compared}")
