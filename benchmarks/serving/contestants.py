"""The servers that are compared, each started as its users start it in production."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.environments import bin_folder
from benchmarks.serving.forms import (
    BentoForm,
    DataframeSplit,
    Form,
    InferenceProtocol,
    LitForm,
    Objects,
)
from benchmarks.serving.inputs import CONTRACT_FILE, Inputs
from benchmarks.serving.results import Described
from benchmarks.serving.server_process import ServerProcess
from mlstack.settings import ROOT
from tests.support.mongo import MongoServer
from tests.support.ports import free_port
from tests.support.server_environment import server_environment

OURS, CONSTANT, BARE = "ours", "constant", "bare-asgi"
FASTAPI, INSERTING = "fastapi", "inserting"
MLSERVER, BENTOML, LITSERVE, MLFLOW = "mlserver", "bentoml", "litserve", "mlflow"
QUICK = frozenset({OURS, CONSTANT, BARE, FASTAPI, INSERTING, MLSERVER})
"""Those of the quick run: ours, two constants, three peers."""

_ASGI_WORKER = "mlstack.web.asgi_worker.Worker"
_GUNICORN = ("{bin}/gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2")
_UVICORN = (*_GUNICORN, "-k", "uvicorn_worker.UvicornWorker")

Settings = Mapping[str, str]


def _no_companions(_: Path) -> AbstractContextManager[Settings]:
    return nullcontext({})


def _nothing_to_prepare(_: Inputs) -> None:
    pass


@dataclass(frozen=True)
class Contestant:
    """One server.

    Args:
        name: Identifies it.
        title: Its name for people.
        started: How it is started, for people.
        command: Its command; `{bin}`, `{port}` and `{folder}` (that of `Inputs`) are replaced.
        form: How it takes customers.
        keeps: What has happened to a prediction when it is answered.
        path: Where it takes one customer.
        batch_path: Where it takes a batch; None if it takes none.
        predicts: Whether it predicts; otherwise it answers a constant.
        lock: The lock of its environment; None is the project's own.
        settings: More environment variables; the same fields are replaced.
        prepare: Writes the files that it needs.
        companions: Runs what it needs beside it, in a folder, and returns settings.
    """

    name: str
    title: str
    started: str
    command: tuple[str, ...]
    form: Form
    keeps: str = "no"
    path: str = "/predict"
    batch_path: str | None = None
    predicts: bool = True
    lock: str | None = None
    settings: Settings = field(default_factory=dict)
    prepare: Callable[[Inputs], None] = _nothing_to_prepare
    companions: Callable[[Path], AbstractContextManager[Settings]] = _no_companions

    def describe(self, unavailable: str | None) -> Described:
        """Describe it for the report."""
        return Described(
            name=self.name,
            title=self.title,
            started=self.started,
            keeps=self.keeps,
            unavailable=unavailable,
        )

    @contextmanager
    def running(self, inputs: Inputs, state: Path) -> Iterator[ServerProcess]:
        """Run it with a state folder, which may have been used before."""
        state.mkdir(parents=True, exist_ok=True)
        binaries, port = bin_folder(self.lock), free_port()
        fields = {"bin": str(binaries), "port": str(port), "folder": str(inputs.folder)}
        with self.companions(state) as more:
            environment = server_environment(
                state,
                # One row is too little work for several threads, and two workers fill two cores.
                OMP_NUM_THREADS="1",
                PYTHONPATH=str(ROOT),
                SERVING_FOLDER=str(inputs.folder),
                **{key: value.format(**fields) for key, value in self.settings.items()},
                **more,
            )
            environment["PATH"] = f"{binaries}:{environment['PATH']}"
            command = [part.format(**fields) for part in self.command]
            with ServerProcess(command, environment, port, state / f"{self.name}.log") as server:
                yield server


def contestants(inputs: Inputs) -> list[Contestant]:
    """List all of them."""
    return [
        Contestant(
            OURS,
            "this project",
            "gunicorn -c server/gunicorn_conf.py",
            ("{bin}/gunicorn", "-c", "server/gunicorn_conf.py", "server.predict_api_server:app"),
            Objects(inputs.contract.answer),
            keeps="committed",
            batch_path="/predict/batch",
            settings={"API_PORT": "{port}", "API_WORKERS": "2", "CONTRACT": str(CONTRACT_FILE)},
        ),
        Contestant(
            CONSTANT,
            "Flask, a constant",
            "gunicorn, 2 sync workers",
            (*_GUNICORN, "benchmarks.serving.apps.constant_flask:app"),
            Objects(),
            predicts=False,
        ),
        Contestant(
            BARE,
            "bare ASGI, a constant",
            "gunicorn, 2 workers of ours",
            (*_GUNICORN, "-k", _ASGI_WORKER, "benchmarks.serving.apps.bare_asgi:app"),
            Objects(),
            predicts=False,
        ),
        Contestant(
            FASTAPI,
            "FastAPI, typed",
            "gunicorn, 2 uvicorn workers",
            (*_UVICORN, "benchmarks.serving.apps.typed_fastapi:app"),
            Objects(),
            batch_path="/predict/batch",
            lock="fastapi",
        ),
        Contestant(
            INSERTING,
            "FastAPI, inserts and posts",
            "the same; MongoDB and a monitor beside it",
            (*_UVICORN, "benchmarks.serving.apps.inserting_fastapi:app"),
            Objects(),
            keeps="inserted",
            lock="fastapi",
            companions=_database_and_monitor,
        ),
        Contestant(
            MLSERVER,
            "MLServer 1.7.1",
            "mlserver start, 2 parallel workers, mlserver-xgboost",
            ("{bin}/mlserver", "start", "{folder}/mlserver"),
            InferenceProtocol(inputs.encoder),
            path="/v2/models/churn/infer",
            batch_path="/v2/models/churn/infer",
            lock="mlserver",
            settings={"MLSERVER_HTTP_PORT": "{port}"},
            prepare=_prepare_mlserver,
        ),
        Contestant(
            BENTOML,
            "BentoML 1.4.40",
            "bentoml serve, 2 workers",
            (
                *("{bin}/bentoml", "serve", "benchmarks.serving.apps.bentoml_service:Churn"),
                *("--host", "127.0.0.1", "--port", "{port}"),
            ),
            BentoForm(),
            batch_path="/predict_batch",
            lock="bentoml",
            settings={"BENTOML_HOME": "{folder}/bentoml", "BENTOML_DO_NOT_TRACK": "True"},
        ),
        Contestant(
            LITSERVE,
            "LitServe 0.2.19",
            "2 workers, 2 API servers",
            ("{bin}/python", "-m", "benchmarks.serving.apps.litserve_service"),
            LitForm(),
            batch_path="/predict",
            lock="litserve",
            settings={"PORT": "{port}"},
        ),
        Contestant(
            MLFLOW,
            "MLflow 3.17.2",
            "mlflow models serve, 2 workers",
            (
                *("{bin}/mlflow", "models", "serve", "--model-uri", "{folder}/mlflow"),
                *("--port", "{port}", "--workers", "2", "--env-manager", "local"),
            ),
            DataframeSplit(inputs.encoder),
            path="/invocations",
            batch_path="/invocations",
            lock="mlflow",
            settings={"MLFLOW_DISABLE_TELEMETRY": "true"},
            prepare=_prepare_mlflow,
        ),
    ]


@contextmanager
def _database_and_monitor(folder: Path) -> Iterator[Settings]:
    """Run MongoDB's stand-in, and the cheapest monitor: a constant."""
    port = free_port()
    command = [
        *(str(bin_folder(None) / "gunicorn"), "--bind", f"127.0.0.1:{port}"),
        *("-k", _ASGI_WORKER, "benchmarks.serving.apps.bare_asgi:app"),
    ]
    environment = server_environment(folder, PYTHONPATH=str(ROOT))
    with (
        MongoServer(folder / "mongo") as mongo,
        ServerProcess(command, environment, port, folder / "monitor.log") as monitor,
    ):
        monitor.seconds_to_first_answer("/", b"")
        yield {"MONGO_URI": mongo.uri, "MONITOR_URL": f"http://127.0.0.1:{port}/"}


def _prepare_mlserver(inputs: Inputs) -> None:
    folder = inputs.folder / "mlserver"
    folder.mkdir()
    server = {"host": "127.0.0.1", "parallel_workers": 2, "debug": False}
    server |= {"grpc_port": free_port(), "metrics_port": free_port()}
    (folder / "settings.json").write_text(json.dumps(server))
    model = {
        "name": "churn",
        "implementation": "mlserver_xgboost.XGBoostModel",
        "parameters": {"uri": str(inputs.model_file)},
    }
    (folder / "model-settings.json").write_text(json.dumps(model))


def _prepare_mlflow(inputs: Inputs) -> None:
    import mlflow.xgboost  # noqa: PLC0415 - takes seconds, and only this needs it

    # Named requirements, because MLflow would start a process to find them.
    mlflow.xgboost.save_model(
        inputs.booster, inputs.folder / "mlflow", pip_requirements=["xgboost"]
    )
