"""Apply the schedule of the training flow, or run the flow now.

Usage: python -m model_orchestration.schedule apply|run
"""

from prefect.client.schemas.objects import FlowRun

from mlstack import command_line
from mlstack.command_line import say
from mlstack.contract import Contract
from mlstack.errors import RegistryUnavailable
from mlstack.flows.command import schedule_command
from mlstack.flows.run import RunFailed
from mlstack.flows.schedule import FlowSchedule
from mlstack.model.mlflow_api import BEST_RUN, connect, explain, run_address
from mlstack.quality.results import MIN_OUTCOMES, explain_outcomes
from mlstack.settings import ROOT, Settings
from model_orchestration.names import FLOW_RUN, TEST_PREFIX

FLOW = "model_tuning_and_uploading"
_SHOWN = ("rmse", "r2", "logloss", "accuracy", "auc", "average_precision", "ece")
"""Each kind of target has some of these metrics."""


def training_schedule() -> FlowSchedule:
    """Describe the schedule; raise SettingsError or ContractError on invalid input."""
    settings = Settings.load()
    Contract.load(settings.contract_path)
    return FlowSchedule(
        flow=FLOW,
        entrypoint=f"model_orchestration/model_train_flow.py:{FLOW}",
        parameters={
            "contract": str(settings.contract),
            "trials": settings.train_trials,
            "seed": settings.train_seed,
            "lag": settings.train_lag,
            "engine": settings.train_engine,
        },
        every_minutes=settings.train_every_minutes,
        description="Raw table -> search -> new version in the model registry",
        note=f"{settings.train_trials} trials",
        apply_target="make apply-model-train-flow",
        run_target="make train",
    )


def show_winner(run: FlowRun) -> None:
    """Print a run's winner: metrics on test rows, version, and how to deploy it.

    Raises:
        RunFailed: the run has registered no model.
        RegistryUnavailable: MLflow is unreachable or rejects the request.
    """
    # Import MLflow, which takes seconds, only after the run has started.
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - see above

    contract = Contract.load(ROOT / run.parameters["contract"])
    client = connect()
    try:
        experiment = client.get_experiment_by_name(contract.name)
        parents = client.search_runs(
            [experiment.experiment_id] if experiment else [], f"params.{FLOW_RUN} = '{run.id}'"
        )
        if not parents:
            raise RunFailed(f"{run.name} completed, but MLflow has no search for it")
        parent = parents[0]
        winner = parent.data.tags.get(BEST_RUN, "")
        versions = [
            # A search does not return aliases.
            client.get_model_version(found.name, found.version)
            for found in (client.search_model_versions(f"run_id = '{winner}'") if winner else ())
        ]
    except MlflowException as error:
        raise RegistryUnavailable(f"the query to MLflow failed: {explain(error)}") from error
    address = run_address(parent.info.experiment_id, parent.info.run_id)
    if not versions:
        raise RunFailed(
            f"{run.name} completed, but somebody has deleted its winner or its version in MLflow: "
            f"choose a trial at {address}, or start again: make train"
        )
    version = versions[0]
    figures = {
        name: parent.data.metrics[f"{TEST_PREFIX}{name}"]
        for name in _SHOWN
        if f"{TEST_PREFIX}{name}" in parent.data.metrics
    }
    say("")
    say(f"search    {address}")
    say(f"winner    {winner}")
    too_few = explain_outcomes(int(parent.data.params.get("test_rows", MIN_OUTCOMES)))
    shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items())
    say(f"on test   {too_few or shown}")
    say(f"version   {version.name} {version.version}: {', '.join(sorted(version.aliases))}")
    say(f"deploy it: make deploy RUN_ID={winner}")


if __name__ == "__main__":
    command_line.run(lambda: schedule_command(training_schedule, show_winner))
