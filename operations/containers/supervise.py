"""Starts, stops and shows the services that run in containers.

Usage: python -m operations.containers.supervise COMMAND, which is one of
start NAME... | stop NAME... | status | logs [SERVICE] | reset

NAME is a group (`model-registry`, `serve`, `monitoring`) or a service.
The active environment must be loaded (`python -m mlstack.with_environment`).
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable

from mlstack import environments
from mlstack.errors import MlstackError
from mlstack.settings import Settings
from operations.containers import credentials
from operations.containers.engine import Compose, Container, docker
from operations.containers.errors import ContainerError
from operations.containers.services import EMULATOR, OPTIONAL, address, chosen

_READY_SECONDS = 300
_TAIL_LINES = "30"


class Stack:
    """The containers of this project under one environment.

    Args:
        environment: Its name.
        settings: What is in force; the process environment carries the same.
    """

    def __init__(self, environment: str, settings: Settings) -> None:
        self._environment, self._settings = environment, settings
        self._compose = Compose()

    def start(self, names: Iterable[str]) -> None:
        """Builds what has changed, starts services and waits until each is ready.

        Raises:
            ContainerError: one does not become ready; says which, why, and ends with its log.
        """
        began = time.monotonic()
        if drawn := credentials.ensure():
            _say(f"drawn into {credentials.FOLDER.name}/: {', '.join(drawn)}")
        services = self._with_images(chosen(names, self._compose.services))
        self._build()
        # Not compose's own --wait alone: when it fails it does not say why.
        up = ("up", "--detach", "--wait", "--wait-timeout", str(_READY_SECONDS))
        if self._compose.call(*up, *services).returncode:
            raise self._failure()
        containers = self._compose.containers()
        for name in services:
            _say(f"  {name:<21} ready   {self._address(name)}".rstrip())
        _say(f"{len(containers)} containers, all ready after {time.monotonic() - began:.1f} s")

    def stop(self, names: Iterable[str]) -> None:
        """Stops groups and services, each within its own time."""
        services = chosen(names, self._compose.services)
        self._compose.run("stop", *services)
        _say(f"stopped: {', '.join(services)}")

    def status(self) -> None:
        """Prints a table of all services."""
        containers = self._compose.containers()
        memory = _memory(containers.values())
        row = "{:<21} {:<10} {:<24} {:>9}  {:<25} {}"
        lines = [row.format("service", "state", "since", "memory", "address", "ready")]
        total = 0.0
        for name in self._compose.services:
            there = containers.get(name)
            if there is None:
                lines.append(
                    row.format(name, "-", "", "", "", "no: there is no container").rstrip()
                )
                continue
            used = memory.get(there.id)
            total += used or 0.0
            lines.append(
                row.format(
                    name,
                    there.state,
                    there.since,
                    f"{used:.0f} MiB" if used else "",
                    self._address(name),
                    "yes" if there.is_ready else f"no: {_reason(there)}",
                ).rstrip()
            )
        lines.append(f"together {total:.0f} MiB")
        _say("\n".join(lines))

    def logs(self, service: str) -> None:
        """Becomes `docker compose logs` of a service or, for an empty name, of all.

        Follows on a terminal.

        Raises:
            ContainerError: there is no such service.
        """
        names = chosen([service], self._compose.services) if service else []
        follow = ["--follow"] if sys.stdout.isatty() else []
        self._compose.become("logs", "--tail", "100" if service else "20", *follow, *names)

    def reset(self) -> None:
        """Removes containers, volumes and network of this project; nothing else."""
        emulated = EMULATOR in self._compose.services
        # All that is in the files, that of the other environment too; but nothing beyond them.
        self._compose.run("--profile", "*", "down", "--volumes")
        if environments.active_name() == self._environment:
            environments.forget()
        _say("reset: no container, volume or network is left, and .env is gone")
        if not emulated:
            there = in_aws(self._settings, os.environ.get("MLFLOW_ARTIFACTS", ""))
            _say(f"in AWS stay, for you to keep or to delete: {', '.join(there)}")

    def _build(self) -> None:
        """Builds the images that their code or locks have changed of."""
        _say("building images (some minutes the first time)")
        # Those too whose service does not run here: jobs are run in them.
        build = ("--profile", "*", "build")
        if self._compose.call(*build, "--quiet", stdout=subprocess.DEVNULL).returncode:
            # Once more, so that what is wrong stands on the screen.
            self._compose.run(*build)

    def _with_images(self, services: list[str]) -> list[str]:
        """Leaves out what others can do without and whose image cannot be had."""
        there = []
        for name in services:
            image = self._compose.services[name]["image"]
            if name in OPTIONAL and not self._is_there(name, image):
                _say(f"!! {name} is left out: its image {image} cannot be had, see above")
                continue
            there.append(name)
        return there

    def _is_there(self, name: str, image: str) -> bool:
        try:
            docker("image", "inspect", image)
        except ContainerError:
            return self._compose.call("pull", "--quiet", name).returncode == 0
        return True

    def _address(self, name: str) -> str:
        return address(name, self._compose.services[name], self._settings.public_host)

    def _failure(self) -> ContainerError:
        for name, container in self._compose.containers().items():
            if not container.is_ready and container.state != "created":
                log = self._compose.read("logs", "--no-log-prefix", "--tail", _TAIL_LINES, name)
                lines = "\n".join(f"  | {line}" for line in log.splitlines())
                return ContainerError(f"{name}: {_reason(container)}\n{lines}")
        return ContainerError("not everything could be started: see above")


def in_aws(settings: Settings, artifacts: str) -> list[str]:
    """What the stack has made or filled in AWS.

    Args:
        settings: Names of bucket and streams.
        artifacts: Where MLflow keeps models; empty, or a folder: not there.
    """
    return [
        *([f"s3://{bucket}"] if (bucket := settings.feature_store_bucket) else []),
        *([artifacts] if "://" in artifacts else []),
        *(
            f"stream {name}"
            for name in (
                settings.predictions_stream,
                settings.results_stream,
                settings.dead_letter_stream,
            )
        ),
    ]


def _reason(container: Container) -> str:
    """Why a container is not ready, in the words of its health check."""
    if container.state != "running":
        return f"{container.state} with {container.exit_code}"
    health = json.loads(docker("inspect", "--format", "{{json .State.Health}}", container.id))
    checks = (health or {}).get("Log") or []
    last = checks[-1]["Output"].strip().splitlines() if checks else []
    return f"{container.health}{f' ({last[-1][:200]})' if last else ''}"


def _memory(containers: Iterable[Container]) -> dict[str, float]:
    """MiB that running containers use, by id."""
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


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the target shows


def main(arguments: list[str]) -> None:
    """Does what the command line says.

    Raises:
        MlstackError: it cannot be done.
    """
    if not arguments:
        raise ContainerError((__doc__ or "").strip())
    environment = os.environ[environments.NAME_VARIABLE]
    stack = Stack(environment, environments.load(environment))
    match arguments:
        case ["start", *names] if names:
            stack.start(names)
        case ["stop", *names] if names:
            stack.stop(names)
        case ["status"]:
            stack.status()
        case ["logs", *service]:
            stack.logs(service[0] if service else "")
        case ["reset"]:
            stack.reset()
        case _:
            raise ContainerError((__doc__ or "").strip())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MlstackError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
