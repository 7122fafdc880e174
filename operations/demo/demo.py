"""`make demo`: all of it, from nothing to predictions from a model that was just trained.

Usage: python -m operations.demo.demo

Every step runs the code of the target that does it alone. What is there from a former run is
taken as it is: the second demo only starts what is down.
"""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import requests
from mlflow import MlflowClient
from mlflow.entities import Run
from pymongo import DESCENDING, MongoClient
from pymongo.collection import Collection

from mlstack import environments
from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.data.training_table import RawTable
from mlstack.deployment.deployment import Deployer
from mlstack.deployment.watcher import model_store
from mlstack.errors import MlstackError, ModelError
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.prediction_log.prediction import Source
from mlstack.settings import ROOT, Settings
from operations.aws.init_aws import init_aws
from operations.demo import first_look
from operations.embedded import doctor
from operations.embedded.errors import StackError
from operations.embedded.services import (
    GROUPS,
    HERE,
    MODEL_REGISTRY,
    MONITORING,
    SERVE,
    all_services,
)
from operations.embedded.supervise import ENVIRONMENT, Stack
from operations.machine.findings import report

_PREDICTIONS = 5
_CUSTOMERS = 400
_SEED = 1
_ANSWER_SECONDS = 10
_KEPT_SECONDS = 30
_SYNTHETIC = (
    "The data is the project's own synthetic sample, as the public file could not be fetched.\n"
    "What is learnt from it shows how the stack works, and says nothing about real customers.\n"
    "Your own table: make demo DATA_FILE=/path/to/table.csv"
)


class _Steps:
    """Headings, and the time that each step took."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.taken: list[tuple[str, float]] = []

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        _say(f"\n== {title}")
        began = time.monotonic()
        yield
        self.taken.append((title, time.monotonic() - began))
        _say(f"   {self.taken[-1][1]:.1f} s")

    def summary(self) -> str:
        lines = [f"  {seconds:6.1f} s  {title}" for title, seconds in self.taken]
        return "\n".join([*lines, f"  {time.monotonic() - self.began:6.1f} s  in all"])


def demo() -> None:
    """Brings everything up, trains when there is no model yet, and predicts.

    Raises:
        MlstackError: a step fails; its sentence says what to do.
    """
    steps = _Steps()
    with steps.step("Check this machine"):
        settings = environments.load(ENVIRONMENT)
        if not report(doctor.examine(settings), _say):
            raise StackError("Something stands in the way: see the lines with NO.")
        settings = environments.set_up(ENVIRONMENT)
        contract = Contract.load(settings.contract_path)
    stack = Stack(settings)
    with steps.step("Start the services"):
        # The HTTP server as well: it is up by the time there is a model for it.
        stack.start(GROUPS, wait=False)
        stack.wait_until_ready(["aws"])
    with steps.step("Bring the data into the feature store"):
        table = _bring_data(settings, contract)
    with steps.step("Wait for the other services"):
        stack.wait_until_ready(
            service.name
            for service in stack.services
            if service.group == MODEL_REGISTRY and service.name != "aws"
        )
    with steps.step("Apply the flows of training and of retention"):
        _run_target("model_orchestration.apply_flow")
        _run_target("operations.retention.apply_flow")
    trained = _needs_training(settings, contract, table)
    if trained:
        with steps.step(f"Train {settings.train_trials} models and register the best"):
            _run_target("model_orchestration.quick_run")
    with steps.step("Deploy a model"):
        run_id = _deploy(settings, contract, trained=trained)
        stack.wait_until_ready([SERVE, MONITORING])
    with steps.step("Predict over HTTP"):
        _predict(settings, contract)
    with steps.step("Predict on the stream"):
        _run_target("simulation_business.send_data_kinesis", "--once", "--rate", str(_PREDICTIONS))
    with steps.step(f"Send {_CUSTOMERS} more customers, so that monitoring has enough to see"):
        sent = first_look.send_customers(settings, contract, _CUSTOMERS)
    with steps.step("Look into the prediction log"):
        first_look.wait_until_kept(settings, sent)
        _show_kept(settings, contract)
    with steps.step("Apply the reporting flow"):
        _run_target("reporting.apply_flow")
    with steps.step("Report on the predictions"):
        if not first_look.has_report(settings, _say):
            _run_target("reporting.quick_run")
    with steps.step("Wait for the first word of monitoring"):
        stack.wait_until_ready([MONITORING])
        first_look.show_monitoring(settings, contract, _say)
    _say(_closing(settings, contract, table, run_id, steps))


def _bring_data(settings: Settings, contract: Contract) -> RawTable:
    table = init_aws(settings, contract, lambda sentence: _say(f"   {sentence}"))
    if table.synthetic:
        _say(_boxed(_SYNTHETIC))
    return table


def _registered(contract: Contract) -> dict[str, Run]:
    """The runs whose models the registry calls `champion` and `challenger`, by alias."""
    client = MlflowClient()
    return {
        alias: client.get_run(str(client.get_model_version(model.name, version).run_id))
        for model in client.search_registered_models(f"name = '{contract.name}'")
        for alias, version in model.aliases.items()
    }


def _needs_training(settings: Settings, contract: Contract, table: RawTable) -> bool:
    """Whether no model was decided on, and none was trained on this data by this contract."""
    if settings.run_id:
        return False
    wanted = {
        "data_sha256": hashlib.sha256(table.path.read_bytes()).hexdigest(),
        "contract_digest": contract.digest,
    }
    return not any(
        wanted.items() <= run.data.tags.items() for run in _registered(contract).values()
    )


def _deploy(settings: Settings, contract: Contract, *, trained: bool) -> str:
    """Deploys what people decided on, else what is deployed already, else the champion."""
    deployer = Deployer(settings, model_store(settings))
    run_id = settings.run_id
    record = deployer.state.record()
    if not run_id and record is not None and not trained:
        try:
            deployer.check(record.run_id)
            run_id = record.run_id
        except ModelError as error:
            _say(f"   what was deployed cannot stay: {error}")
    if not run_id:
        champion = _registered(contract).get("champion")
        if champion is None:
            raise StackError(f"{contract.name} has no champion: make train, or choose a RUN_ID")
        run_id = champion.info.run_id
    if record is not None and record.run_id == run_id:
        deployer.check(run_id)
    else:
        deployer.deploy(run_id)
    _say(f"   run {run_id} is deployed")
    return run_id


def _predict(settings: Settings, contract: Contract) -> None:
    session = requests.Session()
    session.trust_env = False  # no proxy between this machine and itself
    for customer in CustomerGenerator(contract, seed=_SEED).draw(_PREDICTIONS):
        answer = session.post(
            f"http://{HERE}:{settings.api_port}/predict", json=customer, timeout=_ANSWER_SECONDS
        )
        if not answer.ok:
            raise StackError(f"the server answered with {answer.status_code}: {answer.text[:500]}")
        _say(f"   {json.dumps(customer)}")
        _say(f"   -> {json.dumps(answer.json())}")


def _closing(
    settings: Settings, contract: Contract, table: RawTable, run_id: str, steps: _Steps
) -> str:
    api = f"http://{HERE}:{settings.api_port}"
    address = {s.name: s.address for s in all_services(settings) if not s.lacks}
    prometheus = f"\n  Prometheus   {address['prometheus']}" if "prometheus" in address else ""
    example = json.dumps(dict(contract.example), separators=(",", ":"))
    parts = [
        "== All of it is up",
        f"Time:\n{steps.summary()}",
        f"Data:     {table.origin}",
        f"Deployed: run {run_id}",
        (
            "Open:\n"
            f"  try it       {api}/\n"
            f"  API pages    {api}/docs\n"
            f"  health       {api}/health/ready\n"
            f"  MLflow       {address['mlflow']}\n"
            f"  Prefect      {address['prefect-server']}\n"
            f"  S3, Kinesis  {address['aws']} (for boto3 or the aws command, any key)\n"
            f"  MongoDB      {address['mongo']}\n"
            f"  monitoring   {address['evidently_service']}\n"
            f"  reports      {address['nginx']}"
            f"{prometheus}"
        ),
        f"Ask it:\n  curl -X POST -H 'Content-Type: application/json' {api}/predict -d '{example}'",
        (
            "Next:\n"
            "  make status                    what runs, and whether it is ready\n"
            "  make train                     search again; the better model becomes champion\n"
            "  make deploy RUN_ID=...         serve another run's model, without a gap\n"
            "  make report                    report on the predictions of the last while\n"
            "  make logs service=agent        what a service says\n"
            "  make reset_all env=embedded    stop everything and leave nothing behind"
        ),
    ]
    if table.synthetic:
        parts.append(_boxed(_SYNTHETIC))
    return "\n" + "\n\n".join(parts)


def _show_kept(settings: Settings, contract: Contract) -> None:
    """Shows the newest prediction that MongoDB has from each door."""
    with MongoClient[dict[str, Any]](settings.mongo_uri, timeoutMS=5000) as client:
        kept = client[DATABASE]["data"]
        for source in get_args(Source):
            newest = _newest(kept, source)
            customer = {name: newest.get(name) for name in contract.feature_names}
            _say(f"   {source}: {json.dumps(customer)}")
            _say(f"   -> {newest['prediction']:.4f} by run {newest['model_run_id']}")
        _say(f"   {kept.estimated_document_count():,} predictions are kept")


def _newest(kept: Collection[dict[str, Any]], source: Source) -> dict[str, Any]:
    """What was predicted last; it is there a moment after it was answered."""
    deadline = time.monotonic() + _KEPT_SECONDS
    while True:
        newest = kept.find_one({"source": source}, sort=[("created_at", DESCENDING)])
        if newest is not None:
            return newest
        if time.monotonic() > deadline:
            raise StackError(f"MongoDB has no prediction from {source} after {_KEPT_SECONDS} s")
        time.sleep(0.2)


def _run_target(module: str, *arguments: str) -> None:
    """Runs what a target runs; as there, in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise StackError(f"{module} failed: see above")


def _boxed(text: str) -> str:
    lines = text.splitlines()
    width = max(map(len, lines))
    edge = "!" * (width + 4)
    return "\n".join([edge, *(f"! {line:<{width}} !" for line in lines), edge])


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the target shows


if __name__ == "__main__":
    try:
        demo()
    except MlstackError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. What was started runs on: make status, make reset_all env=embedded")
