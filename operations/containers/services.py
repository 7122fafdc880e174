"""Groups of compose services that make targets start and stop."""

from collections.abc import Iterable, Mapping
from typing import Any

from operations.errors import StackError

LOAD_BALANCER = "load-balancer"
"""Has the port of the HTTP servers if there are several."""

CLUSTER = ("dask-scheduler", "dask-worker")
"""Searches train on these with TRAIN_ENGINE=dask."""

MEMBER = "deployment-member"
"""Shares the deployment record with other machines, with DEPLOYMENT_RECORD."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "model-registry": (
        *("mlflow_server", "prefect_server", "agent", "localstack", "aws-keeper"),
        *CLUSTER,
    ),
    "serve": (
        *("model-server-api", LOAD_BALANCER, "model-server-streams", "log-keeper"),
        MEMBER,
        *("send_data-api", "send_data-kinesis"),
    ),
    "monitoring": (
        *("evidently_service", "prometheus", "alertmanager", "grafana", "nginx", "proxy"),
    ),
}
"""Services by group; MongoDB and its account start as dependencies."""

EMULATOR = "localstack"
"""Environments without this service use AWS itself."""

PROXY = "proxy"
"""Handles all traffic from other machines."""

OPTIONAL = ("grafana",)
"""Display only: everything else works without its image."""

_SCHEMES = {"mongo": "mongodb"}


def select_services(names: Iterable[str], services: Mapping[str, Any]) -> list[str]:
    """Return this environment's services for names of groups and services.

    Raises StackError if there is no such group or service.
    """
    wanted = list(names)
    known = {*GROUPS, *services, *(name for group in GROUPS.values() for name in group)}
    if unknown := [name for name in wanted if name not in known]:
        raise StackError(
            f"no such group or service: {', '.join(unknown)}; "
            f"there is {', '.join(sorted({*GROUPS, *services}))}"
        )
    flat = [service for name in wanted for service in GROUPS.get(name, (name,))]
    return [name for name in dict.fromkeys(flat) if name in services]


def address(name: str, service: Mapping[str, Any], public_host: str) -> str:
    """Return the URL that users and clients connect to; empty if none is published."""
    if name == PROXY:
        return f"https://{public_host}"
    for port in service.get("ports", []):
        host = "127.0.0.1" if port.get("host_ip") == "127.0.0.1" else public_host
        return f"{_SCHEMES.get(name, 'http')}://{host}:{port['published']}"
    return ""
