"""Checks what the containers need of this machine: `make doctor`.

Usage: python -m operations.containers.doctor

Each line says ok or what to do; the exit code is 1 when something stands in the way.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mlstack import environments
from mlstack.errors import MlstackError
from mlstack.settings import Settings
from operations.containers import credentials
from operations.containers.engine import Compose
from operations.containers.errors import ContainerError
from operations.containers.services import PROXY
from operations.machine import memory, ports
from operations.machine.findings import Finding, bad_contract, report

OLDEST_COMPOSE = (2, 24)
"""Dependencies that need not be there, and a wait that knows of containers which end."""

DISK_GIB = 12.0
"""Images with what building them leaves behind, and some weeks of models and data."""
MEMORY_GIB = 4.0
_GIB = 1024**3
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - where the engine publishes what names no address
_FIRST_OF_EVERYBODY = 1024
_SECONDS = 20


def examine(environment: str, settings: Settings) -> Iterator[Finding]:
    """Runs every check; those that need Docker only where it answers."""
    fault = _no_engine()
    yield Finding("Docker engine", fault)
    yield Finding("contract", bad_contract(settings))
    if fault is not None:
        return
    fault = _no_compose()
    yield Finding("docker compose", fault)
    yield Finding("disk", _too_little_disk())
    if fault is not None:
        return
    compose = Compose()
    own = [name for name, each in compose.containers().items() if each.state == "running"]
    yield Finding("memory", None if own else _too_little_memory())
    yield Finding("bucket", _no_bucket(environment, settings))
    if PROXY in compose.services:
        yield Finding("proxy", missing_of_proxy(credentials.FOLDER))
    published: dict[int, str] = {}
    for name, service in compose.services.items():
        for port in service.get("ports", []):
            number, host = int(port["published"]), port.get("host_ip", _EVERYWHERE)
            fault = _taken(number, host, name in own, published.get(number))
            published[number] = name
            yield Finding(f"port {number} ({name})", fault)


def _taken(port: int, host: str, ours: bool, other: str | None) -> str | None:  # noqa: FBT001
    if other is not None:
        return f"{other} was given the same one: give each its own"
    if ours or ports.is_free(host, port) or _is_free_to_the_engine(host, port):
        return None
    another = ports.next_free(host, port)
    return (
        f"it is taken by {ports.holder(port)}: end that, or choose another, such as "
        f"{another or '...'}, in the environment's file or at set-up"
    )


def _is_free_to_the_engine(host: str, port: int) -> bool:
    """Of ports that only root may try; the engine is root, whoever runs this is not."""
    return port < _FIRST_OF_EVERYBODY and os.getuid() != 0 and not ports.answers(host, port)


def _no_bucket(environment: str, settings: Settings) -> str | None:
    """A name that this project chose would be somebody else's in AWS."""
    if settings.feature_store_bucket:
        return None
    return f"FEATURE_STORE_BUCKET is empty: choose a name for it in .env.{environment}"


def missing_of_proxy(folder: Path) -> str | None:
    """What the proxy does not start without; None: it is there.

    Args:
        folder: Of the secrets.
    """
    for name, script in (("tls/fullchain.pem", "certificate.sh"), ("proxy/users", "user.sh")):
        if not (folder / name).is_file():
            return f"there is no {folder.name}/{name}: make it by cloud/nginx-tls/{script}"
    return None


def _no_engine() -> str | None:
    if shutil.which("docker") is None:
        return "there is no docker on the PATH: install it, or leave it out: make demo"
    asked = _ask("docker", "version", "--format", "{{.Server.Version}}")
    if asked.returncode == 0:
        return None
    said = (asked.stderr.strip().splitlines() or ["it does not answer"])[-1]
    return f"{said}; start it, join its group (usermod -aG docker), or leave it out: make demo"


def _no_compose() -> str | None:
    asked = _ask("docker", "compose", "version", "--short")
    if asked.returncode:
        return "there is no compose plugin: install docker-compose-plugin"
    found = re.match(r"v?(\d+)\.(\d+)", asked.stdout.strip())
    if found is None or (int(found[1]), int(found[2])) >= OLDEST_COMPOSE:
        return None
    return f"it is {asked.stdout.strip()}, and {'.'.join(map(str, OLDEST_COMPOSE))} is needed"


def _too_little_disk() -> str | None:
    """Where images and volumes are; that is on this machine as far as its path is."""
    asked = _ask("docker", "info", "--format", "{{json .DockerRootDir}}")
    folder = Path(json.loads(asked.stdout)) if asked.returncode == 0 else Path("/")
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / _GIB
    if free >= DISK_GIB:
        return None
    return (
        f"{free:.1f} GiB are free at {folder}, and {DISK_GIB:g} are needed: docker system df "
        "says what takes it"
    )


def _too_little_memory() -> str | None:
    available = memory.available_bytes() / _GIB
    if available >= MEMORY_GIB:
        return None
    return f"{available:.1f} GiB are available, and {MEMORY_GIB:g} are needed"


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {_SECONDS} s")


def main() -> None:
    """Entry point of `make doctor`."""
    environment = os.environ[environments.NAME_VARIABLE]
    if not report(examine(environment, environments.load(environment)), print):
        raise ContainerError("Something stands in the way: see the lines with NO.")


if __name__ == "__main__":
    try:
        main()
    except MlstackError as error:
        sys.exit(str(error))
