"""The description of a supervised service."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlstack.probes import Probe

HERE = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - only bound if BIND_ADDRESS says so

MODEL_REGISTRY = "model-registry"
SERVE = "serve"
MONITORING = "monitoring"
UNIQUE_NAME = "{name}"
"""Word of a command that the launcher replaces with a name that no other process has."""

GROUPS = (MODEL_REGISTRY, SERVE, MONITORING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A supervised process and its descendants.

    Args:
        name: Name, also in the logs.
        group: Group that targets start and stop together.
        command: The command line.
        probe: Tells whether it is ready.
        seen_as: How the front page probes it (see `Settings.stack_services`), if `probe` works only
            in make's own processes.
        environment: Variables in addition to the common ones (`PATH` etc.).
        follows_settings: Whether it is our code, which reads the active environment.
        address: URL for users and clients.
        host: Listen address.
        port: Port, or 0.
        port_variable: The setting that holds the port.
        waits_for: A URL that must answer before the service is started.
        runs_jobs: Whether it starts jobs in their own sessions. A stop ends these first, while they
            can still report it.
        stop_seconds: Time between SIGTERM and SIGKILL.
        configure: Writes its configuration before a start; returns whether that has changed.
        lacks: A missing optional dependency and how to install it; such a service is not started.
    """

    name: str
    group: str
    command: tuple[str, ...]
    probe: Probe
    seen_as: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    follows_settings: bool = False
    address: str = ""
    host: str = HERE
    port: int = 0
    port_variable: str = ""
    waits_for: str = ""
    runs_jobs: bool = False
    stop_seconds: int = 15
    configure: Callable[[], bool] = lambda: False
    lacks: str = ""


def module(name: str, *arguments: str | int) -> tuple[str, ...]:
    """Return the command line that runs a Python module."""
    return (sys.executable, "-m", name, *map(str, arguments))


def url(port: int) -> str:
    """Return the address of a port of this machine."""
    return f"http://{HERE}:{port}"
