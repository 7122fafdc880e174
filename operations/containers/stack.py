"""Start, stop and show the services that run in containers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import chain

from mlstack import environments
from mlstack.command_line import say
from mlstack.settings import Settings
from operations.alerting import configuration
from operations.alerting.receivers import status_line
from operations.containers import credentials
from operations.containers.engine import Compose, Container, docker
from operations.containers.logins import find_refused, is_engine_here
from operations.containers.mounts import mounts_fault
from operations.containers.ownership import Project
from operations.containers.services import (
    CLUSTER,
    EMULATOR,
    LOAD_BALANCER,
    MEMBER,
    OPTIONAL,
    address,
    select_services,
)
from operations.errors import StackError

_READY_SECONDS = 300
_TAIL_LINES = "30"
_FIRST_IMAGE = "model-server-api"
_MESSAGES = "/etc/alertmanager/messages.tmpl"
"""Where the container of Alertmanager has its templates."""


class ContainerStack:
    """The project's containers; the process environment must match `settings`."""

    def __init__(self, environment: str, settings: Settings) -> None:
        self._environment, self._settings = environment, settings
        self._compose = Compose()

    def start(self, names: Iterable[str]) -> None:
        """Build changed images, start services and wait until they are ready.

        Raises StackError with the reason and the last log lines of a service that fails.
        """
        began = time.monotonic()
        if drawn := Project(self._compose).claim():
            say(f"generated in {credentials.FOLDER.name}/: {', '.join(drawn)}")
        if self._settings.has_dask_cluster and credentials.ensure_dask():
            say(f"generated in {credentials.FOLDER.name}/: certificates of the Dask cluster")
        if fault := mounts_fault(self._compose.services):
            raise StackError(fault)
        configuration.write(self._settings, _MESSAGES)
        services = self._with_images(select_services(names, self._compose.services))
        if not self._settings.has_dask_cluster:
            services = [name for name in services if name not in CLUSTER]
        self._build()
        if gone := self._gone():
            # The only server takes the port of the load balancer.
            self._compose.run("--profile", "*", "rm", "--stop", "--force", *gone)
        # compose's own --wait does not say why it failed.
        up = ("up", "--detach", "--wait", "--wait-timeout", str(_READY_SECONDS))
        code = self._compose.call(*up, *services).returncode
        # Before other failures, which may follow from it.
        self._check_passwords()
        if code:
            raise self._failure()
        containers = self._compose.containers()
        for name in services:
            say(f"  {name:<21} ready   {self._address(name)}".rstrip())
        count = sum(map(len, containers.values()))
        say(f"{count} containers, all ready after {time.monotonic() - began:.1f} s")

    def stop(self, names: Iterable[str]) -> None:
        """Stop groups and services, each within its own time limit."""
        services = select_services(names, self._compose.services)
        Project(self._compose).require()
        self._compose.run("stop", *services)
        say(f"stopped: {', '.join(services)}")

    def status(self) -> None:
        """Print a table of all services."""
        verdict = Project(self._compose).judge()
        containers = self._compose.containers()
        memory = _memory_mib(chain.from_iterable(containers.values()))
        row = "{:<22} {:<10} {:<24} {:>9}  {:<25} {}"
        head = row.format("service", "state", "since", "memory", "address", "ready")
        lines = [f"front page: {self._settings.front_page}/", head]
        for name in self._compose.services:
            found = containers.get(name, [])
            if not found:
                lines.append(row.format(name, "-", "", "", "", "no: no container"))
            for container in found:
                used = memory.get(container.id)
                cells = (
                    name if len(found) == 1 else f"{name} {container.number}",
                    container.state,
                    container.since,
                    f"{used:.0f} MiB" if used else "",
                    self._address(name),
                    "yes" if container.is_ready else f"no: {_reason(container)}",
                )
                lines.append(row.format(*cells).rstrip())
        lines.append(f"total {sum(memory.values()):.0f} MiB")
        lines.append(status_line(self._settings))
        remarks = [verdict.refusal]
        if verdict.is_ours:
            lost = credentials.find_lost(verdict.existing)
            remarks = [*lost, *self._refused(again=False).values()]
        say("\n".join([*(f"!! {remark}" for remark in remarks), *lines]))

    def logs(self, service: str) -> None:
        """Become `docker compose logs` for a service, or for all if the name is empty.

        Raises StackError if there is no such service.
        """
        names = select_services([service], self._compose.services) if service else []
        follow = ["--follow"] if sys.stdout.isatty() else []
        self._compose.become("logs", "--tail", "100" if service else "20", *follow, *names)

    def reset(self) -> None:
        """Remove this project's containers, volumes and network, and nothing else."""
        project = Project(self._compose)
        project.require()
        emulated = EMULATOR in self._compose.services
        # Every profile: also remove services that only the other environment uses.
        self._compose.run("--profile", "*", "down", "--volumes")
        project.forget()
        if environments.active_name() == self._environment:
            environments.forget()
        say("reset: all containers, volumes and networks were removed, and .env was deleted")
        if not emulated:
            left = list_aws_resources(self._settings, os.environ.get("MLFLOW_ARTIFACTS", ""))
            say(f"these stay in AWS until you delete them: {', '.join(left)}")

    def adopt(self) -> None:
        """Take over containers and volumes that carry another clone's id, or none."""
        Project(self._compose).adopt()

    def _check_passwords(self) -> None:
        """Print which services refuse their password; raise StackError if MongoDB does."""
        for service, fault in self._refused(again=True).items():
            if service == "mongo":
                raise StackError(fault)
            say(f"!! {fault}")

    def _refused(self, *, again: bool) -> dict[str, str]:
        if not is_engine_here():
            return {}  # its ports are published on another machine
        services, volumes = self._compose.services, self._compose.volumes
        return find_refused(services, self._compose.containers(), volumes, again=again)

    def _build(self) -> None:
        say("building images (takes a few minutes the first time)")
        # Jobs use images of services that do not run here.
        build = ("--profile", "emulator", "build")
        # Most images share their first layers. An engine without BuildKit would build them once for
        # each image, all at the same time. So one image comes first, and the others reuse them.
        for names in ([_FIRST_IMAGE], []):
            quiet = (*build, "--quiet", *names)
            if self._compose.call(*quiet, stdout=subprocess.DEVNULL).returncode:
                # Build again with output, which shows the error.
                self._compose.run(*build)
                return

    def _gone(self) -> set[str]:
        """Return existing services that the settings no longer include."""
        gone = {LOAD_BALANCER, MEMBER, *CLUSTER} - self._compose.services.keys()
        return gone & self._compose.containers().keys()

    def _with_images(self, services: list[str]) -> list[str]:
        """Omit optional services whose image cannot be pulled."""
        available = []
        for name in services:
            image = self._compose.services[name]["image"]
            if name in OPTIONAL and not self._has_image(name, image):
                say(f"!! {name} skipped: its image {image} cannot be pulled, see above")
            else:
                available.append(name)
        return available

    def _has_image(self, name: str, image: str) -> bool:
        try:
            docker("image", "inspect", image)
        except StackError:
            return self._compose.call("pull", "--quiet", name).returncode == 0
        return True

    def _address(self, name: str) -> str:
        return address(name, self._compose.services[name], self._settings.public_host)

    def _failure(self) -> StackError:
        for name, containers in self._compose.containers().items():
            for container in containers:
                if not container.is_ready and container.state != "created":
                    wanted = ("--tail", _TAIL_LINES, "--index", str(container.number), name)
                    log = self._compose.read("logs", "--no-log-prefix", *wanted)
                    lines = "\n".join(f"  | {line}" for line in log.splitlines())
                    return StackError(f"{name}: {_reason(container)}\n{lines}")
        return StackError("not every service could be started: see above")


def list_aws_resources(settings: Settings, artifacts: str) -> list[str]:
    """List the AWS resources that the stack has created or filled.

    `artifacts` is where MLflow stores models; empty or a folder means not in AWS.
    """
    streams = (settings.predictions_stream, settings.results_stream, settings.dead_letter_stream)
    bucket = settings.feature_store_bucket
    return [
        *([f"s3://{bucket}"] if bucket else []),
        *([str(settings.deployment_record)] if settings.deployment_record else []),
        *([artifacts] if "://" in artifacts else []),
        *(f"stream {name}" for name in streams),
    ]


def _reason(container: Container) -> str:
    """Return why a container is not ready, as its health check reports it."""
    if container.state != "running":
        return f"{container.state} with {container.exit_code}"
    health = json.loads(docker("inspect", "--format", "{{json .State.Health}}", container.id))
    checks = (health or {}).get("Log") or []
    last = checks[-1]["Output"].strip().splitlines() if checks else []
    return f"{container.health}{f' ({last[-1][:200]})' if last else ''}"


def _memory_mib(containers: Iterable[Container]) -> dict[str, float]:
    """Return the memory of running containers by id."""
    running = [container.id for container in containers if container.state == "running"]
    if not running:
        return {}
    lines = docker("stats", "--no-stream", "--format", "{{.ID}} {{.MemUsage}}", *running)
    used = {}
    for line in lines.splitlines():
        identity, amount, *_ = line.split()
        number = amount.rstrip("BGKMTi")
        unit = amount.removeprefix(number)
        used[identity] = float(number) * {"GiB": 1024.0, "MiB": 1.0, "KiB": 1 / 1024}.get(unit, 0.0)
    return {name: used[name[:12]] for name in running if name[:12] in used}
