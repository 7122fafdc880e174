"""The groups that targets start and stop; what a service is stands in the compose files."""

from collections.abc import Iterable, Mapping
from typing import Any

from operations.containers.errors import ContainerError

GROUPS: Mapping[str, tuple[str, ...]] = {
    "model-registry": ("mlflow_server", "prefect_server", "agent", "localstack", "aws-keeper"),
    "serve": ("model-server-api", "model-server-streams", "send_data-api", "send_data-kinesis"),
    "monitoring": ("evidently_service", "prometheus", "grafana", "nginx", "proxy"),
}
"""Services by group. MongoDB and its account come with those that depend on them."""

EMULATOR = "localstack"
"""Where it is no service, it is AWS itself that is used."""

PROXY = "proxy"
"""In front of everything, where others than this machine can reach it."""

OPTIONAL = ("grafana",)
"""Shows what others measure: where its image cannot be had, the rest works without it."""

_SCHEMES = {"mongo": "mongodb", "model-server-streams": "http"}


def chosen(names: Iterable[str], services: Mapping[str, Any]) -> list[str]:
    """Services of groups and services, those that the environment has.

    Raises:
        ContainerError: there is no such group or service.
    """
    wanted = list(names)
    known = {*services, *(name for group in GROUPS.values() for name in group)}
    if unknown := [name for name in wanted if name not in {*GROUPS, *known}]:
        raise ContainerError(
            f"no such group or service: {', '.join(unknown)}; "
            f"there is {', '.join(sorted({*GROUPS, *services}))}"
        )
    flat = [service for name in wanted for service in GROUPS.get(name, (name,))]
    return [name for name in dict.fromkeys(flat) if name in services]


def address(name: str, service: Mapping[str, Any], public_host: str) -> str:
    """What people open or clients connect to; empty: nothing is published."""
    if name == PROXY:
        return f"https://{public_host}"
    for port in service.get("ports", []):
        loopback = port.get("host_ip") == "127.0.0.1"
        host = "127.0.0.1" if loopback else public_host
        return f"{_SCHEMES.get(name, 'http')}://{host}:{port['published']}"
    return ""
