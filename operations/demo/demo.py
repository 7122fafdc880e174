"""Go from nothing to predictions of a newly trained model (`make demo`).

Each step runs the code of the corresponding make target. A second demo keeps existing data and
starts only what is down.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from mlstack import command_line, environments
from mlstack.command_line import say
from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.prediction_fields import PREDICTION, RUN_ID
from mlstack.data.training_table import RawTable
from mlstack.model.mlflow_api import experiment_address
from mlstack.model.mlflow_lookup import find_experiment
from mlstack.prediction_log.prediction import LIVE_SOURCES
from mlstack.settings import ROOT, Settings
from mlstack.waiting import wait_until
from operations.aws.init_aws import init_aws
from operations.demo.running_stack import RunningStack
from operations.embedded import checks
from operations.embedded.service import MODEL_REGISTRY, MONITORING, SERVE
from operations.embedded.services import all_services
from operations.embedded.stack import ENVIRONMENT, EmbeddedStack
from operations.errors import StackError
from operations.machine.findings import report
from simulation_business.population import Population

_PREDICTIONS = 5
_CUSTOMERS = 400
_BATCH = 200
_STORED_SECONDS = 60
_MONITORED_SECONDS = 120
_SYNTHETIC = (
    "The public file could not be fetched, so the data is the project's own synthetic sample.\n"
    "A model trained on it shows how the stack works, but says nothing about real customers.\n"
    "To use your own table: make demo DATA_FILE=/path/to/table.csv"
)


class _Steps:
    """Prints a heading and the duration of each step."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.taken: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        say(f"\n== {title}")
        began = time.monotonic()
        yield
        self.taken.append((title, time.monotonic() - began))
        say(f"   {self.taken[-1][1]:.1f} s")

    def summary(self) -> str:
        lines = [f"  {seconds:6.1f} s  {title}" for title, seconds in self.taken]
        return "\n".join([*lines, f"  {time.monotonic() - self.began:6.1f} s  total"])


def demo() -> None:
    """Start everything, train if there is no model yet, and predict.

    Raises MlstackError if a step fails; the message says what to do.
    """
    steps = _Steps()
    with steps.step("Check this machine"):
        settings = environments.load(ENVIRONMENT)
        report(checks.examine(settings))
        settings = environments.set_up(ENVIRONMENT)
        contract = Contract.load(settings.contract_path)
    services = EmbeddedStack(settings)
    stack = RunningStack(settings, contract)
    with steps.step("Start what training needs"):
        services.start([MODEL_REGISTRY], wait=False)
        services.wait_until_ready(["aws"])
    with steps.step("Bring the data into the feature store"):
        table = init_aws(settings, contract, lambda sentence: say(f"   {sentence}"))
        if table.synthetic:
            say(_boxed(_SYNTHETIC))
    with steps.step("Wait until all of it is ready"):
        from operations.demo import training  # noqa: PLC0415 - takes seconds; services start

        services.wait_until_ready(
            service.name
            for service in services.services
            if service.group == MODEL_REGISTRY and service.name != "aws"
        )
    with steps.step("Apply the flows"):
        training.apply_flows()
        needs_training = training.needs_training(settings, contract, table)
        search = training.begin_training() if needs_training else None
    with steps.step("Start the servers and the monitoring"):
        # They become ready during the training, and the servers follow the first deployment.
        services.start([SERVE, MONITORING], wait=False)
    if search:
        with steps.step(f"Train {settings.train_trials} models and register the best"):
            training.follow_training(search)
    with steps.step("Deploy a model"):
        run_id = training.deploy(settings, contract, trained=needs_training)
        services.wait_until_ready([SERVE, MONITORING])
    _predict_and_report(steps, stack, settings, contract)
    with steps.step("Wait for the first monitoring result"):
        services.wait_until_ready([MONITORING])
        _show_monitoring(stack, contract)
    say(_closing(settings, contract, table, run_id, steps))


def _predict_and_report(
    steps: _Steps, stack: RunningStack, settings: Settings, contract: Contract
) -> None:
    from operations.demo import training  # noqa: PLC0415 - see `demo`

    with steps.step("Predict over HTTP"):
        population = Population(contract, settings, seed=1, give_up=_STORED_SECONDS)
        _predict_some(stack, population.draw(_PREDICTIONS))
    with steps.step(f"Send {_CUSTOMERS} more customers, so that monitoring has enough to see"):
        sent = _send_customers(stack, population.draw(_CUSTOMERS))
        wait_until(
            lambda: stack.has_predictions(*sent),
            "MongoDB does not have all of the predictions",
            _STORED_SECONDS,
        )
    newest = stack.newest_report()
    # The next steps need nothing of it.
    reporting = None if newest else training.begin_report()
    with steps.step("Predict on the stream"):
        _run_target("simulation_business.send_data_kinesis", "--once", "--rate", str(_PREDICTIONS))
    with steps.step("Look into the prediction log"):
        _show_stored(stack, contract)
    with steps.step("Report on the predictions"):
        if reporting:
            training.follow_report(reporting)
        elif newest:
            page = f"{settings.reports_url}/{newest.html}"
            say(f"   {newest.verdict} in the newest report: {page}")


def _predict_some(stack: RunningStack, customers: list[Customer]) -> None:
    """Request predictions one by one and show them."""
    for customer in customers:
        say(f"   {json.dumps(customer)}")
        say(f"   -> {json.dumps(stack.predict('/predict', customer))}")


def _send_customers(stack: RunningStack, customers: list[Customer]) -> list[str]:
    """Request predictions in batches and return their ids."""
    return [
        answer["prediction_id"]
        for start in range(0, len(customers), _BATCH)
        for answer in stack.predict("/predict/batch", customers[start : start + _BATCH])
    ]


def _show_stored(stack: RunningStack, contract: Contract) -> None:
    """Show the newest prediction of each server."""
    for source in LIVE_SOURCES:
        newest = wait_until(
            partial(stack.newest_prediction, source),
            f"MongoDB has no prediction from {source}",
            _STORED_SECONDS,
        )
        customer = {name: newest.get(name) for name in contract.feature_names}
        say(f"   {source}: {json.dumps(customer)}")
        prediction = newest[PREDICTION]
        shown = prediction if isinstance(prediction, str) else f"{prediction:.4g}"
        say(f"   -> {shown} by run {newest[RUN_ID]}")
    say(f"   {stack.count_predictions():,} predictions are stored")


def _show_monitoring(stack: RunningStack, contract: Contract) -> None:
    wait_until(
        lambda: stack.gauges().drifted is not None,
        "the monitoring service has no verdict",
        _MONITORED_SECONDS,
        every=0.5,
    )
    gauges = stack.gauges()
    say(
        f"   {gauges.rows} rows in the window, {len(gauges.features)} of "
        f"{len(contract.model_features)} features drifted: "
        f"{'drift' if gauges.drifted else 'no drift'}"
    )


def _closing(
    settings: Settings, contract: Contract, table: RawTable, run_id: str, steps: _Steps
) -> str:
    api = settings.api_url
    address = {s.name: s.address for s in all_services(settings) if not s.lacks}
    prometheus = f"\n  Prometheus   {address['prometheus']}" if "prometheus" in address else ""
    example = json.dumps(dict(contract.example), separators=(",", ":"))
    text = f"""
== Everything is up

Time:
{steps.summary()}

Data:     {table.origin}

Deployed: run {run_id}

Open:
  front page   {settings.front_page}/ (verdict, alerts, and every service: start here)
  try it       {api}/
  API pages    {api}/docs
  health       {api}/health/ready
  MLflow       {experiment_address(settings.mlflow_url, find_experiment(contract.name, run_id))}
  Prefect      {address["prefect-server"]}
  S3, Kinesis  {address["aws"]} (for boto3 or the aws command, any key)
  MongoDB      {address["mongo"]}
  monitoring   {settings.monitor_page}
  reports      {address["nginx"]}{prometheus}

Request a prediction:
  curl -X POST -H 'Content-Type: application/json' {api}/predict -d '{example}'

Next:
  make status                    what is running, and whether it is ready
  make train                     train again; the better model becomes champion
  make deploy RUN_ID=...         serve another run's model, without downtime
  make report                    report on the recent predictions
  make logs service=agent        the log of a service
  make reset_all env=embedded    stop everything and delete all state"""
    return f"{text}\n\n{_boxed(_SYNTHETIC)}" if table.synthetic else text


def _run_target(module: str, *arguments: str) -> None:
    """Run a make target's module in a separate process."""
    command = [sys.executable, "-m", module, *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise StackError(f"{module} failed: see above")


def _boxed(text: str) -> str:
    lines = text.splitlines()
    width = max(map(len, lines))
    edge = "!" * (width + 4)
    return "\n".join([edge, *(f"! {line:<{width}} !" for line in lines), edge])


def main() -> int:
    """Run the demo."""
    try:
        demo()
    except KeyboardInterrupt:
        say(
            "\nStopped. The services keep running: make status, make reset_all env=embedded",
            sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    command_line.run(main, prefix="\n")
