"""The two descriptions of the services agree: compose files and `operations/embedded/services.py`.

Where they differ on purpose, the difference stands here with its reason.
"""

import os
import re
import shlex
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from dotenv import dotenv_values

from mlstack.environments import OWN_VARIABLES
from mlstack.heartbeat import HEARTBEATS
from mlstack.s3_address import S3Address
from mlstack.settings import ROOT, Settings
from monitoring.evidently_service.stack_services import read_services as read_stack
from operations.containers.services import CLUSTER, GROUPS
from operations.embedded.service import Service
from operations.embedded.services import all_services
from tests.support.compose_files import read_services

COMPOSE = read_services("docker-compose-model-registry.yml", "docker-compose-serve.yml")
# With one of the Dask workers, which compose scales.
SETTINGS = Settings(
    train_engine="dask", train_workers=1, deployment_record=S3Address("bucket", "folder")
)
EMBEDDED = {service.name: service for service in all_services(SETTINGS)}

# People type these names, so both environments keep the ones that they have always had.
CONTAINERS = {
    "mlflow": "mlflow_server",
    "prefect-server": "prefect_server",
    "aws": "localstack",
    "dask-worker-1": "dask-worker",
}

# Public images have variables of their own.
OURS = [
    name for name in EMBEDDED if COMPOSE[CONTAINERS.get(name, name)]["image"].startswith("mlstack/")
]

NODE = os.uname().nodename

ONLY_IN_CONTAINERS = {
    "mongo-account": "the embedded MongoDB has no accounts",
    "load-balancer": "there is one embedded HTTP server; processes share its port",
    "grafana": "it is not installed without Docker; /metrics and the pages show the same figures",
}

# (embedded, containers), each with its reason.
GROUP_DIFFERENCES = {
    # In containers it starts with the servers that depend on it. Embedded servers do not wait
    # for it, so it starts with the first group.
    "mongo": ("model-registry", None),
}
STOP_DIFFERENCES = {
    # An embedded stop ends the jobs first, which have their own 10 s.
    "agent": (5, 15),
}
PROBE_DIFFERENCES = {
    # Other programs, each with its own page.
    "aws": ("url_answers /moto-api/", "url_answers /_localstack/health"),
    # The image of MongoDB has a shell of its own, and no Python.
    "mongo": ("mongo_answers", "mongosh --quiet --eval db.adminCommand('ping').ok"),
    # In a container the worker may open a port for its health. Without Docker that port could be
    # taken, so Prefect is asked when it last heard of the worker.
    "agent": ("_worker_is_online /api", "url_answers /health"),
    # Both ask for the model and the heartbeat: two commands there, one function here.
    "model-server-streams": (
        "_stream_server_works",
        "stream_is_served && python -m mlstack.heartbeat stream_server",
    ),
    # A container's worker is known by the name of the container.
    "dask-worker-1": ("heartbeat heartbeat-dask-worker-1", f"heartbeat heartbeat-{NODE}"),
}
# Every image of ours gets these. Without Docker the servers of MLflow and Prefect, which are not
# our code, only get those that they read.
COMMON = read_services("docker-compose-common.yml")["ours"]["environment"].keys()
FIXED_DIFFERENCES = {
    # Processes get theirs from `mlstack.caller_environment`.
    *("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"),
    # Only with artifacts in S3 do MLflow's clients go there themselves.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD",
    # Only the containers have a root that cannot be written.
    "PREFECT_SERVER_UI_STATIC_DIRECTORY",
    # Of the worker's health check; see above.
    "PREFECT_WORKER_WEBSERVER_HOST",
    # The embedded worker gets the server's variables too, and does not read this one.
    "PREFECT_SERVER_ANALYTICS_ENABLED",
}
DEPENDENCY_DIFFERENCES = {
    # The worker itself needs only Prefect. Compose also delays it until flow runs find MLflow and
    # AWS; the embedded group is waited for as a whole.
    "agent": ({"prefect_server"}, {"prefect_server", "mlflow_server", "localstack"}),
    # Both wait for MongoDB by themselves. Compose only orders the start, so that the account is
    # there by the time they connect.
    "log-keeper": (set(), {"mongo", "mongo-account"}),
    "evidently_service": (set(), {"mongo", "mongo-account"}),
    # `make demo` starts every group at once; in containers the emulator's group is up before.
    "model-server-streams": ({"localstack"}, set()),
    # The simulators wait by themselves. Compose also spares their logs the first refusals.
    "send_data-api": (set(), {"model-server-api"}),
    "send_data-kinesis": (set(), {"model-server-api", "model-server-streams"}),
}

NOT_SHOWN = {"mongo-account": "it ends when it has created the account"}
FRONT_PAGE_DIFFERENCES = {
    # A page cannot look into the containers: it asks who hears of them, and the engine's names.
    "agent": ("worker_is_online /api/work_pools/local", "url_answers /health"),
    "mongo": ("mongo_answers", PROBE_DIFFERENCES["mongo"][1]),
    "dask-worker": ("dask_has_workers", f"heartbeat heartbeat-{NODE}"),
    "model-server-streams": (
        "stream_is_served heartbeat stream_server",
        PROBE_DIFFERENCES["model-server-streams"][1],
    ),
    **{
        name: ("container_runs", f"heartbeat {HEARTBEATS[beat](Settings()).path.name}")
        for name, beat in (
            ("send_data-api", "send_data_api"),
            ("send_data-kinesis", "send_data_kinesis"),
        )
    },
}


# Who hears of a service without a port.
OTHER_HOSTS = {"127.0.0.1", "prefect_server", "dask-scheduler"}


def shown(lines: str) -> dict[str, list[str]]:
    """The words of each service on the front page."""
    return {name: words for name, *words in map(shlex.split, lines.splitlines())}


def listed() -> dict[str, str]:
    """The lines of each variable that tells the monitoring service what to show."""
    found: dict[str, str] = {}
    for file in ROOT.glob("docker-compose-*.yml"):
        text = file.read_text(encoding="utf-8").replace("!reset", "")
        service = yaml.safe_load(text)["services"].get("evidently_service", {})
        for name, value in service.get("environment", {}).items():
            if name.startswith("STACK_SERVICES"):
                assert name not in found, f"{file}: compose would take one file's lines only"
                # With what only some environments have.
                lines = re.sub(r"\$\{\w+:\+(.*)\}", r"\1", value)
                found[name] = lines.strip()
    return found


LISTED = listed()
CONTAINER_LINES = "\n".join(LISTED.values())


@pytest.fixture(params=EMBEDDED)
def service(request: pytest.FixtureRequest) -> Service:
    return EMBEDDED[request.param]


def container(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE[container_name(service)]
    return found


def container_name(service: Service) -> str:
    return CONTAINERS.get(service.name, service.name)


def test_names_agree() -> None:
    names = {container_name(service) for service in EMBEDDED.values()}
    assert names | ONLY_IN_CONTAINERS.keys() == COMPOSE.keys()
    assert not names & ONLY_IN_CONTAINERS.keys()


@pytest.mark.parametrize("name", sorted(name for name, each in COMPOSE.items() if "build" in each))
def test_image_is_built_from_a_file_that_is_there(name: str) -> None:
    """Also that of a service which only some settings start."""
    assert (ROOT / COMPOSE[name]["build"].get("dockerfile", "Dockerfile")).is_file()


def test_front_page_reads_what_compose_files_add() -> None:
    """Each file has a setting of its own, so that none takes another one's place."""
    settings = Settings.model_validate({key.lower(): lines for key, lines in LISTED.items()})
    assert {each.name for each in read_stack(settings)} == shown(CONTAINER_LINES).keys()
    elsewhere = settings.model_copy(update={"train_workers": 0})
    assert {each.name for each in read_stack(settings)} - {
        each.name for each in read_stack(elsewhere)
    } == {*CLUSTER}


def test_groups_agree(service: Service) -> None:
    groups = {name: group for group, names in GROUPS.items() for name in names}
    there = groups.get(container_name(service))
    assert (service.group, there) == GROUP_DIFFERENCES.get(service.name, (there, there))


def test_ports_agree(service: Service) -> None:
    """A service is published at the port that the same setting chooses, with the same default."""
    published = container(service).get("ports", [])
    there = [re.sub(r".*\$\{(\w+):-(\d+)\}:\d+$", r"\1 \2", port) for port in published]
    assert there == ([f"{service.port_variable} {service.port}"] if service.port else [])


def test_stop_limits_agree(service: Service) -> None:
    there = int(container(service)["stop_grace_period"].removesuffix("s"))
    assert (service.stop_seconds, there) == STOP_DIFFERENCES.get(service.name, (there, there))


def test_health_checks_agree(service: Service) -> None:
    """The same probe asks the same thing; addresses differ only in host and port."""
    there = container_probe(container(service)["healthcheck"]["test"])
    here = embedded_probe(service)
    assert (here, there) == PROBE_DIFFERENCES.get(service.name, (there, there))


@pytest.mark.parametrize("service", OURS, indirect=True)
def test_settings_agree(service: Service) -> None:
    """A setting that a container gets reaches the embedded service; fixed values are equal."""
    environment = container(service)["environment"]
    embedded: dict[str, str | None] = dict(service.environment)
    if service.follows_settings:
        file = dotenv_values(ROOT / ".env.embedded", interpolate=False)
        embedded = {**dict.fromkeys(OWN_VARIABLES), **file, **embedded}
        assert {name for name, value in environment.items() if value is None} <= embedded.keys()
    fixed = {
        name: re.sub(r"\$\{\w+:-(\w+)\}", r"\1", value)
        for name, value in environment.items()
        if value is not None and not is_place(value) and name not in FIXED_DIFFERENCES
        if service.follows_settings or name not in COMMON - embedded.keys()
    }
    assert {name: embedded.get(name) for name in fixed} == fixed
    own = {name for name, value in service.environment.items() if not is_place(value)}
    assert own - FIXED_DIFFERENCES <= environment.keys()


def test_dependencies_agree(service: Service) -> None:
    there = set(container(service).get("depends_on", {}))
    here = {
        container_name(other)
        for other in EMBEDDED.values()
        if service.waits_for and service.waits_for.startswith(other.address) and other.address
    }
    assert (here, there) == DEPENDENCY_DIFFERENCES.get(service.name, (there, there))


def test_front_page_lists_every_service() -> None:
    """It shows what runs in its environment, and knows what to call it."""
    embedded = EMBEDDED["evidently_service"].environment["STACK_SERVICES"]
    assert {*shown(embedded)} == EMBEDDED.keys()
    assert {*shown(CONTAINER_LINES)} == COMPOSE.keys() - NOT_SHOWN.keys() | {"proxy"}
    for lines in (embedded, CONTAINER_LINES):
        for each in read_stack(Settings(stack_services=lines)):
            assert each.shown.title != each.name, f"{each.name}: give it a title"


@pytest.mark.parametrize("name", shown(CONTAINER_LINES))
def test_front_page_probes_what_containers_check(name: str) -> None:
    """It asks the same of the service's host as the container's own health check."""
    words = shown(CONTAINER_LINES)[name]
    for target in words[1::2]:
        if "://" in target:
            assert urlsplit(target).hostname in {name, *OTHER_HOSTS}
    if name in COMPOSE:
        there = container_probe(COMPOSE[name]["healthcheck"]["test"])
        heartbeat = ["CMD", "python", "-m", "mlstack.heartbeat", words[1]]
        probe = " ".join([described(*words[:2]), *words[2:]])
        here = container_probe(heartbeat) if words[0] == "heartbeat" else probe
        assert (here, there) == FRONT_PAGE_DIFFERENCES.get(name, (there, there))


def test_every_difference_is_real() -> None:
    """A difference that is gone must go from the lists above."""
    for differences in (
        GROUP_DIFFERENCES,
        STOP_DIFFERENCES,
        PROBE_DIFFERENCES,
        DEPENDENCY_DIFFERENCES,
        FRONT_PAGE_DIFFERENCES,
    ):
        assert differences.keys() <= EMBEDDED.keys() | COMPOSE.keys()
        assert all(here != there for here, there in differences.values())


def is_place(value: str) -> bool:
    """Whether a value is an address or a path, which is each environment's own."""
    return "/" in value and value != "/api"


def embedded_probe(service: Service) -> str:
    probe = service.probe
    if not isinstance(probe, partial):
        return f"heartbeat {probe.__self__.path.name}"  # type: ignore[attr-defined] # a method
    return described(probe.func.__name__, probe.args[0])


def container_probe(test: list[str]) -> str:
    words = shlex.split(test[1]) if test[0] == "CMD-SHELL" else test[1:]
    if words[0] in ("curl", "wget"):
        return described("url_answers", words[-1])
    match words:
        case ["python", "-m", "mlstack.probes", name, target, *rest]:
            return " ".join([described(name, target), *rest])
        case ["python", "-m", "mlstack.heartbeat", name]:
            return f"heartbeat {HEARTBEATS[name](Settings()).path.name}"
    return " ".join(words)


def described(probe: str, target: str) -> str:
    """A probe with what it asks for, without host and port."""
    parts = urlsplit(target)
    asked = parts.path if "://" in target else ""
    return " ".join(filter(None, [probe, f"{asked}?{parts.query}" if parts.query else asked]))
