"""Check whether this machine can run the containers, for `make doctor`."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mlstack.probes import port_answers
from mlstack.settings import ROOT, Settings
from operations.alerting.receivers import receivers_finding
from operations.containers import credentials
from operations.containers.engine import Compose
from operations.containers.mounts import mounts_fault
from operations.containers.ownership import Project
from operations.containers.services import PROXY
from operations.install.before_install import path_fault
from operations.machine import ports
from operations.machine.findings import Finding, contract_fault, memory_fault, table_finding

OLDEST_COMPOSE = (2, 24)
"""Supports optional dependencies and waits for containers that run once."""

DISK_GIB = 12.0
"""Space for images, build caches, and some weeks of models and data."""
MEMORY_GIB = 4.0
_GIB = 1024**3
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - where the engine publishes a port without an address
_FIRST_UNPRIVILEGED_PORT = 1024
_ANSWER_SECONDS = 20


def examine(environment: str, settings: Settings) -> Iterator[Finding]:
    """Run every check; skip those that need Docker if it does not answer."""
    engine = _engine_fault()
    yield Finding("folder", path_fault(ROOT))
    yield Finding("Docker engine", engine)
    yield Finding("contract", contract_fault(settings))
    yield table_finding(settings, reaches_s3=False)
    yield receivers_finding(settings)
    if engine is not None:
        return
    compose_plugin = _compose_fault()
    yield Finding("docker compose", compose_plugin)
    yield Finding("disk", _disk_fault())
    if compose_plugin is not None:
        return
    compose = Compose()
    verdict = Project(compose).judge()
    yield Finding("containers and volumes", verdict.refusal or None)
    lost = credentials.find_lost(verdict.existing) if verdict.is_ours else []
    yield Finding("secrets", "; ".join(lost) or None)
    running = {
        name
        for name, containers in compose.containers().items()
        if verdict.is_ours and any(each.state == "running" for each in containers)
    }
    yield Finding("memory", None if running else memory_fault(MEMORY_GIB))
    yield Finding("configuration", mounts_fault(compose.services))
    yield Finding("bucket", bucket_fault(environment, settings))
    if PROXY in compose.services:
        yield Finding("proxy", proxy_fault(credentials.FOLDER))
    published: dict[int, str] = {}
    for name, service in compose.services.items():
        for port in service.get("ports", []):
            number, host = int(port["published"]), port.get("host_ip", _EVERYWHERE)
            fault = None if name in running else port_fault(host, number)
            if number in published:
                fault = f"{published[number]} has the same port: give each a port of its own"
            published[number] = name
            yield Finding(f"port {number} ({name})", fault)


def port_fault(host: str, port: int) -> str | None:
    """Return who holds a port; None if the engine can publish there."""
    if ports.is_free(host, port):
        return None
    # Only root may bind it, so a failed bind proves nothing; the engine is root.
    privileged = port < _FIRST_UNPRIVILEGED_PORT and os.getuid() != 0
    if privileged and not port_answers(f"{host}:{port}").ready:
        return None
    another = ports.next_free(host, port)
    return (
        f"it is in use by {ports.holder(port)}: stop it, or choose another port, such as "
        f"{another or '...'}, in the environment file or at setup"
    )


def bucket_fault(environment: str, settings: Settings) -> str | None:
    """Return a fault if no bucket is set; AWS names are global, so none is preset."""
    if settings.feature_store_bucket:
        return None
    return f"FEATURE_STORE_BUCKET is empty: choose a name for it in .env.{environment}"


def proxy_fault(folder: Path) -> str | None:
    """Return which secret file the proxy lacks and what creates it; None if none."""
    for name, script in (("tls/fullchain.pem", "certificate.sh"), ("proxy/users", "user.sh")):
        if not (folder / name).is_file():
            return f"{folder.name}/{name} is missing: create it with cloud/nginx-tls/{script}"
    return None


def _engine_fault() -> str | None:
    if shutil.which("docker") is None:
        return "docker is not on the PATH: install it, or run without Docker: make demo"
    answer = _ask("docker", "version", "--format", "{{.Server.Version}}")
    if answer.returncode == 0:
        return None
    reason = (answer.stderr.strip().splitlines() or ["it does not answer"])[-1]
    return (
        f"{reason}; start it, join its group (usermod -aG docker), or run without Docker: make demo"
    )


def _compose_fault() -> str | None:
    answer = _ask("docker", "compose", "version", "--short")
    if answer.returncode:
        return "the compose plugin is missing: install docker-compose-plugin"
    version = re.match(r"v?(\d+)\.(\d+)", answer.stdout.strip())
    if version is None or (int(version[1]), int(version[2])) >= OLDEST_COMPOSE:
        return None
    oldest = ".".join(map(str, OLDEST_COMPOSE))
    return f"it is version {answer.stdout.strip()}; {oldest} or newer is needed"


def _disk_fault() -> str | None:
    answer = _ask("docker", "info", "--format", "{{json .DockerRootDir}}")
    folder = Path(json.loads(answer.stdout)) if answer.returncode == 0 else Path("/")
    # The folder of a remote engine does not exist here.
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / _GIB
    if free >= DISK_GIB:
        return None
    return (
        f"only {free:.1f} GiB free at {folder}, {DISK_GIB:g} needed: docker system df "
        "shows what uses it"
    )


def _ask(*command: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer within {_ANSWER_SECONDS} s")
