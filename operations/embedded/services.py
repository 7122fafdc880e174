"""Define the services of the embedded environment.

The compose files define the same services in containers; a unit test compares them.
"""

import json
import socket
from functools import partial

import psutil

from mlstack import heartbeat
from mlstack.flows.schedule import ROOT_VARIABLE, RUN_VARIABLES, WORK_POOL
from mlstack.probes import (
    OK,
    Answer,
    ask,
    mlflow_searches,
    model_is_served,
    mongo_answers,
    stream_is_served,
    url_answers,
    why,
)
from mlstack.settings import ROOT, Settings
from operations.embedded.dask_services import dask_services
from operations.embedded.front_page import with_front_page
from operations.embedded.layout import STACK, record
from operations.embedded.monitoring_services import monitoring_services
from operations.embedded.processes import Identity
from operations.embedded.service import (
    EVERYWHERE,
    HERE,
    MODEL_REGISTRY,
    SERVE,
    UNIQUE_NAME,
    Service,
    module,
    url,
)

# Disable telemetry, and colour codes in log files.
_PREFECT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_HOME": str(STACK / "prefect"),
    "PREFECT_LOGGING_COLORS": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}

_PREFECT_DATABASE = "PREFECT_SERVER_DATABASE_CONNECTION_URL"


def all_services(settings: Settings) -> tuple[Service, ...]:
    """Return every service, each after the ones that it depends on."""
    bind = settings.bind_address
    mlflow = url(settings.mlflow_port)
    prefect = url(settings.prefect_port)
    aws = url(settings.aws_port)
    mongo = f"mongodb://{HERE}:{settings.mongo_port}"
    api = url(settings.api_port)
    metrics = url(settings.stream_metrics_port)
    keeper = url(settings.keeper_metrics_port)
    prefect_database = settings.prefect_server_database_connection_url
    services = (
        Service(
            name="mlflow",
            group=MODEL_REGISTRY,
            command=(
                *module("mlflow", "server", "--host", bind, "--port", settings.mlflow_port),
                *("--workers", "1", "--serve-artifacts"),
                # Relative to the project's root, so that URIs need no quoted paths.
                *("--artifacts-destination", settings.mlflow_artifacts_destination),
                *("--default-artifact-root", "mlflow-artifacts:/"),
                *(_mlflow_names(settings.mlflow_port) if bind == EVERYWHERE else ()),
            ),
            environment={
                "DO_NOT_TRACK": "1",
                # Not in the command, which everybody can see: it may have a password.
                "MLFLOW_BACKEND_STORE_URI": settings.mlflow_backend_store_uri,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                # Saves eight processes for unused features.
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            probe=partial(mlflow_searches, mlflow),
            address=mlflow,
            host=bind,
            port=settings.mlflow_port,
            port_variable="MLFLOW_PORT",
        ),
        Service(
            name="prefect-server",
            group=MODEL_REGISTRY,
            command=module(
                "prefect", "server", "start", "--host", bind, "--port", settings.prefect_port
            ),
            environment={
                **_PREFECT,
                # Prefect prunes its own history.
                "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
                "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": (
                    f"P{settings.keep_history_days}D"
                ),
                # The UI calls the address it was loaded from.
                "PREFECT_SERVER_UI_API_URL": "/api",
                "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
                **({_PREFECT_DATABASE: prefect_database} if prefect_database else {}),
            },
            probe=partial(url_answers, f"{prefect}/api/health"),
            address=prefect,
            host=bind,
            port=settings.prefect_port,
            port_variable="PREFECT_PORT",
        ),
        Service(
            name="aws",
            group=MODEL_REGISTRY,
            # It has no login, so it only listens on loopback.
            command=module("operations.embedded.aws_emulator", HERE, settings.aws_port),
            probe=partial(url_answers, f"{aws}/moto-api/"),
            address=aws,
            port=settings.aws_port,
            port_variable="AWS_PORT",
        ),
        Service(
            name="mongo",
            group=MODEL_REGISTRY,
            command=(
                # Not its script, whose first line names the folder of its installation.
                *module("secantus", "--host", HERE, "--port", settings.mongo_port),
                *("--storage-path", ".embedded/mongo"),
                # Without it, a kill loses acknowledged writes.
                "--sync-on-commit",
            ),
            stop_seconds=30,
            probe=partial(mongo_answers, mongo),
            address=mongo,
            port=settings.mongo_port,
            port_variable="MONGO_PORT",
        ),
        Service(
            name="aws-keeper",
            group=MODEL_REGISTRY,
            command=module("operations.aws.init_aws", "--keep"),
            follows_settings=True,
            probe=heartbeat.aws_keeper(settings).check,
            waits_for=f"{aws}/moto-api/",
        ),
        Service(
            name="agent",
            group=MODEL_REGISTRY,
            command=module(
                *("prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process"),
                *("--name", UNIQUE_NAME),
            ),
            environment={
                **_PREFECT,
                **RUN_VARIABLES,
                ROOT_VARIABLE: str(ROOT),
                "PREFECT_WORKER_QUERY_SECONDS": "2",
            },
            follows_settings=True,
            probe=partial(_worker_is_online, f"{prefect}/api"),
            seen_as=("worker_is_online", f"{prefect}/api/work_pools/{WORK_POOL}"),
            waits_for=f"{prefect}/api/health",
            runs_jobs=True,
            # Its jobs have already ended, and it ignores SIGTERM while a request hangs.
            stop_seconds=5,
        ),
        *dask_services(settings),
        Service(
            name="model-server-api",
            group=SERVE,
            command=module(
                "gunicorn", "-c", "server/gunicorn_conf.py", "server.predict_api_server:app"
            ),
            follows_settings=True,
            probe=partial(model_is_served, api),
            address=api,
            host=bind,
            port=settings.api_port,
            port_variable="API_PORT",
            # Leaves time for the longest request.
            stop_seconds=40,
        ),
        Service(
            name="model-server-streams",
            group=SERVE,
            command=module("server.serve_kinesis"),
            follows_settings=True,
            probe=partial(_stream_server_works, metrics, heartbeat.stream_server(settings)),
            seen_as=("stream_is_served", metrics, "heartbeat", "stream_server"),
            address=f"{metrics}/metrics",
            host=bind,
            port=settings.stream_metrics_port,
            port_variable="STREAM_METRICS_PORT",
            waits_for=f"{aws}/moto-api/",
            stop_seconds=40,
        ),
        Service(
            name="log-keeper",
            group=SERVE,
            command=module("mlstack.prediction_log.keeper"),
            follows_settings=True,
            probe=heartbeat.log_keeper(settings).check,
            address=f"{keeper}/metrics",
            host=bind,
            port=settings.keeper_metrics_port,
            port_variable="KEEPER_METRICS_PORT",
        ),
        *_member(settings),
        *(
            Service(
                name=name,
                group=SERVE,
                command=module(f"simulation_business.{script}"),
                follows_settings=True,
                probe=heartbeat.simulator(script, settings).check,
                stop_seconds=10,
            )
            for name, script in (
                ("send_data-api", "send_data_api"),
                ("send_data-kinesis", "send_data_kinesis"),
            )
        ),
        *monitoring_services(settings),
    )
    return with_front_page(services, settings)


def _member(settings: Settings) -> tuple[Service, ...]:
    """Return the service that shares the deployment record with other machines, if it is shared."""
    if settings.deployment_record is None:
        return ()
    member = Service(
        name="deployment-member",
        group=SERVE,
        command=module("mlstack.deployment.member"),
        follows_settings=True,
        probe=heartbeat.deployment_member(settings).check,
    )
    return (member,)


def _stream_server_works(metrics: str, loops: heartbeat.Heartbeat) -> Answer:
    """Return ready if the stream server has a model and its loops are alive."""
    answer = stream_is_served(metrics)
    alive = loops.check()
    return answer if alive.ready or not answer.ready else alive


def _worker_is_online(api: str) -> Answer:
    """Return ready if Prefect has heard from the worker that our agent became.

    Prefect itself lists a killed worker as online for minutes. Each start has a name of its own;
    an agent that the release before started has a random one.
    """
    agent = Identity.read(record("agent"))
    if agent is None:
        return Answer(ready=False, detail="it was not started")
    online = {"workers": {"status": {"any_": ["ONLINE"]}}}
    status, body = ask(f"{api}/work_pools/{WORK_POOL}/workers/filter", online)
    if status != OK:
        return Answer(ready=False, detail=why(status, body))
    names = {worker["name"] for worker in json.loads(body)}
    if agent.name in names if agent.born else names:
        return Answer(ready=True, detail="")
    return Answer(ready=False, detail=f"it has not reached work pool {WORK_POOL!r} yet")


def _mlflow_names(port: int) -> tuple[str, ...]:
    """Return the options that let MLflow answer to this machine's names.

    If any name were allowed, every web page opened on this network could call MLflow.
    """
    addresses = {
        address.address
        for each in psutil.net_if_addrs().values()
        for address in each
        if address.family == socket.AF_INET
    }
    names = sorted({"localhost", HERE, socket.gethostname(), *addresses})
    hosts = ",".join(f"{name}:{port}" for name in names)
    origins = ",".join(f"http://{name}:{port}" for name in names)
    return ("--allowed-hosts", hosts, "--cors-allowed-origins", origins)
