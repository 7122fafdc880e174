"""What a supervised service is."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlstack.probes import Probe

HERE = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - bound to only when BIND_ADDRESS says so

MODEL_REGISTRY = "model-registry"
SERVE = "serve"
MONITORING = "monitoring"
GROUPS = (MODEL_REGISTRY, SERVE, MONITORING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One supervised process and all its descendants.

    Args:
        name: Its name, here and in the logs.
        group: What targets start and stop together.
        command: What is run.
        probe: Tells whether it is ready.
        environment: Variables beside the common ones (`PATH` and the like).
        follows_settings: Whether it is our own code, which reads the active environment.
        address: What people open or clients connect to.
        host: Where it listens.
        port: Its port; 0: none.
        port_variable: The setting that the port comes from.
        waits_for: A URL that must answer before it is started.
        runs_jobs: Whether it starts jobs in sessions of their own. A stop ends these first, while
            they can still report it.
        stop_seconds: Time between SIGTERM and SIGKILL.
        lacks: What it needs and this machine does not have, and how to get it. Starts leave such
            a service out: the others work without it.
    """

    name: str
    group: str
    command: tuple[str, ...]
    probe: Probe
    environment: Mapping[str, str] = field(default_factory=dict)
    follows_settings: bool = False
    address: str = ""
    host: str = HERE
    port: int = 0
    port_variable: str = ""
    waits_for: str = ""
    runs_jobs: bool = False
    stop_seconds: int = 15
    lacks: str = ""
