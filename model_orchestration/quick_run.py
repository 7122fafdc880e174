"""`make train`: trains now, or follows the training that is going on, to its end."""

import sys

from prefect.client.schemas.objects import FlowRun

from mlstack.contract import Contract
from mlstack.flows.run import RunFailed, run_command, say
from mlstack.settings import ROOT
from model_orchestration.deployment import training_flow
from model_orchestration.names import BEST_RUN, FLOW_RUN, TEST_PREFIX


def main() -> int:
    """Entry point of `make train`; 0 only when a model was registered."""
    return run_command(training_flow, _say_result)


def _say_result(run: FlowRun) -> None:
    # MLflow takes seconds to import: not before the run is under way.
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    from model_orchestration import mlflow_api  # noqa: PLC0415

    contract = Contract.load(ROOT / run.parameters["contract"])
    client = mlflow_api.connect()
    try:
        experiment = client.get_experiment_by_name(contract.name)
        parents = client.search_runs(
            [experiment.experiment_id] if experiment else [], f"params.{FLOW_RUN} = '{run.id}'"
        )
        if not parents:
            raise RunFailed(f"{run.name} is completed, but MLflow does not know its search")
        parent = parents[0]
        winner = parent.data.tags[BEST_RUN]
        version = client.search_model_versions(f"run_id = '{winner}'")[0]
        aliases = client.get_model_version(version.name, version.version).aliases
    except MlflowException as error:
        raise mlflow_api.TrackingError(f"MLflow cannot be asked: {error}") from error
    figures = {
        name: parent.data.metrics[f"{TEST_PREFIX}{name}"]
        for name in ("rmse", "logloss", "auc", "average_precision", "ece")
    }
    say("")
    say(f"search    {mlflow_api.run_address(parent.info.experiment_id, parent.info.run_id)}")
    say(f"winner    {winner}")
    say("on test   " + "  ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    say(f"version   {version.name} {version.version}: {', '.join(sorted(aliases))}")
    say(f"deploy it: make deploy RUN_ID={winner}")


if __name__ == "__main__":
    sys.exit(main())
