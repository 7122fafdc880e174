"""The services of the embedded environment: what each runs, needs, and answers to."""

import shutil
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil

from mlstack.flows.worker import RUN_VARIABLES, WORK_POOL
from mlstack.probes import (
    Probe,
    file_is_renewed,
    mlflow_searches,
    model_is_served,
    mongo_answers,
    monitor_watches,
    nothing_to_ask,
    stream_is_served,
    url_answers,
)
from mlstack.settings import Settings
from operations.aws.heartbeat import heartbeat_path as aws_heartbeat_path
from operations.embedded.layout import STACK, record
from operations.embedded.probes import worker_is_online
from simulation_business.pulse import heartbeat_path

HERE = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - bound to only when BIND_ADDRESS says so

MODEL_REGISTRY = "model-registry"
SERVE = "serve"
MONITORING = "monitoring"
GROUPS = (MODEL_REGISTRY, SERVE, MONITORING)

# Nothing is reported to anyone, and no colour codes go into log files.
_PREFECT = {
    "DO_NOT_TRACK": "1",
    "PREFECT_HOME": str(STACK / "prefect"),
    "PREFECT_LOGGING_COLORS": "false",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}

_NO_PROMETHEUS = (
    "prometheus is not installed, so there are no alerts: apt-get install "
    "--no-install-recommends prometheus (and, where Debian has started one of its own: "
    "systemctl disable --now prometheus)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One supervised process and all that descends from it."""

    name: str
    group: str
    command: tuple[str, ...]

    environment: Mapping[str, str] = field(default_factory=dict)
    """What it needs beyond the common environment (`PATH` and the like)."""

    follows_settings: bool = False
    """Our own code, which reads the active environment's variables."""

    probe: Probe = nothing_to_ask

    address: str = ""
    """What people open or clients connect to."""

    host: str = HERE
    port: int = 0
    """Where it listens; port 0: nowhere."""

    port_variable: str = ""
    """The setting that its port comes from."""

    waits_for: str = ""
    """URL that must answer before it is started."""

    runs_jobs: bool = False
    """It starts jobs in sessions of their own; a stop ends these first, so that they can
    still report it."""

    stop_seconds: int = 10
    """What it gets to end after SIGTERM; then it is ended by SIGKILL."""

    lacks: str = ""
    """What it needs of this machine and does not find, and how to get it. Starts leave such a
    service out: the others do without it."""


def all_services(settings: Settings) -> tuple[Service, ...]:
    """Every service, those that need others after them."""
    bind = settings.bind_address
    mlflow = f"http://{HERE}:{settings.mlflow_port}"
    prefect = f"http://{HERE}:{settings.prefect_port}"
    aws = f"http://{HERE}:{settings.aws_port}"
    api = f"http://{HERE}:{settings.api_port}"
    reports = f"http://{HERE}:{settings.reports_port}"
    metrics = f"http://{HERE}:{settings.stream_metrics_port}"
    monitor = f"http://{HERE}:{settings.evidently_port}"
    return (
        Service(
            name="mlflow",
            group=MODEL_REGISTRY,
            command=(
                *_module("mlflow", "server", "--host", bind, "--port", settings.mlflow_port),
                *("--workers", "1", "--serve-artifacts"),
                # Relative to the project's root: whatever its path, it fits into a URI.
                *("--backend-store-uri", settings.mlflow_backend_store_uri),
                *("--artifacts-destination", settings.mlflow_artifacts_destination),
                *("--default-artifact-root", "mlflow-artifacts:/"),
                *(_mlflow_names(settings.mlflow_port) if bind == EVERYWHERE else ()),
            ),
            environment={
                "DO_NOT_TRACK": "1",
                "MLFLOW_DISABLE_TELEMETRY": "true",
                # Eight more processes, for features that are not used here.
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
            command=_module(
                "prefect", "server", "start", "--host", bind, "--port", settings.prefect_port
            ),
            environment={
                **_PREFECT,
                # It prunes its own history.
                "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
                "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": (
                    f"P{settings.keep_history_days}D"
                ),
                # Its pages call the address that they were loaded from, whatever its name.
                "PREFECT_SERVER_UI_API_URL": "/api",
                "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
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
            # Without a login: never beyond this machine.
            command=_module("operations.embedded.aws_emulator", HERE, settings.aws_port),
            probe=partial(url_answers, f"{aws}/moto-api/"),
            address=aws,
            port=settings.aws_port,
            port_variable="AWS_PORT",
        ),
        Service(
            name="mongo",
            group=MODEL_REGISTRY,
            command=(
                str(Path(sys.executable).with_name("secantusd-py")),
                *("--host", HERE, "--port", str(settings.mongo_port)),
                *("--storage-path", ".embedded/mongo"),
                # Without it a kill loses writes that were acknowledged.
                "--sync-on-commit",
            ),
            probe=partial(mongo_answers, HERE, settings.mongo_port),
            address=f"mongodb://{HERE}:{settings.mongo_port}",
            port=settings.mongo_port,
            port_variable="MONGO_PORT",
        ),
        Service(
            name="aws-keeper",
            group=MODEL_REGISTRY,
            command=_module("operations.aws.init_aws", "--keep"),
            follows_settings=True,
            probe=partial(file_is_renewed, aws_heartbeat_path(settings)),
            waits_for=f"{aws}/moto-api/",
        ),
        Service(
            name="agent",
            group=MODEL_REGISTRY,
            command=_module("prefect", "worker", "start", "--pool", WORK_POOL, "--type", "process"),
            environment={
                **_PREFECT,
                **RUN_VARIABLES,
                "PREFECT_WORKER_QUERY_SECONDS": "2",
            },
            follows_settings=True,
            probe=partial(worker_is_online, f"{prefect}/api", WORK_POOL, record("agent")),
            waits_for=f"{prefect}/api/health",
            runs_jobs=True,
            # A worker ignores the first SIGTERM for as long as its requests hang.
            stop_seconds=5,
        ),
        Service(
            name="model-server-api",
            group=SERVE,
            command=_module(
                "gunicorn", "-c", "server/gunicorn_conf.py", "server.predict_api_server:app"
            ),
            follows_settings=True,
            probe=partial(model_is_served, api),
            address=api,
            host=bind,
            port=settings.api_port,
            port_variable="API_PORT",
            stop_seconds=35,
        ),
        Service(
            name="model-server-streams",
            group=SERVE,
            command=_module("server.serve_kinesis"),
            follows_settings=True,
            probe=partial(stream_is_served, metrics),
            address=f"{metrics}/metrics",
            host=bind,
            port=settings.stream_metrics_port,
            port_variable="STREAM_METRICS_PORT",
            waits_for=f"{aws}/moto-api/",
            # MongoDB and the monitoring service may hang; see `server.serve_kinesis`.
            stop_seconds=35,
        ),
        *(
            Service(
                name=name,
                group=SERVE,
                command=_module(f"simulation_business.{module}"),
                follows_settings=True,
                probe=partial(file_is_renewed, heartbeat_path(settings, module)),
            )
            for name, module in (
                ("send_data-api", "send_data_api"),
                ("send_data-kinesis", "send_data_kinesis"),
            )
        ),
        Service(
            name="evidently_service",
            group=MONITORING,
            command=_module(
                *("gunicorn", "-c", "monitoring/evidently_service/gunicorn_conf.py"),
                "monitoring.evidently_service.app:app",
            ),
            follows_settings=True,
            probe=partial(monitor_watches, monitor),
            address=monitor,
            host=bind,
            port=settings.evidently_port,
            port_variable="EVIDENTLY_PORT",
        ),
        Service(
            name="prometheus",
            group=MONITORING,
            command=_module("operations.embedded.prometheus"),
            follows_settings=True,
            probe=partial(url_answers, f"http://{HERE}:{settings.prometheus_port}/-/ready"),
            address=f"http://{HERE}:{settings.prometheus_port}",
            host=bind,
            port=settings.prometheus_port,
            port_variable="PROMETHEUS_PORT",
            lacks="" if shutil.which("prometheus") else _NO_PROMETHEUS,
        ),
        Service(
            name="nginx",
            group=MONITORING,
            command=_module("operations.embedded.report_browser"),
            follows_settings=True,
            probe=partial(url_answers, f"{reports}/"),
            address=reports,
            host=bind,
            port=settings.reports_port,
            port_variable="REPORTS_PORT",
        ),
    )


def _mlflow_names(port: int) -> tuple[str, ...]:
    """Names that MLflow may be opened by: this machine's own, where it refuses all others.

    It would let in every page on the Internet that a person on this network opens, were any
    name allowed.
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


def _module(name: str, *arguments: str | int) -> tuple[str, ...]:
    return (sys.executable, "-m", name, *map(str, arguments))
