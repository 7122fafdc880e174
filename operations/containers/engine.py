"""Run Docker compose with this project's files."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from mlstack.revision import git_revision
from mlstack.settings import ROOT, Settings
from operations.clone import identify
from operations.containers.credentials import container_uid, for_compose
from operations.containers.docker_proxies import configured_no_proxy
from operations.errors import StackError

# From the labels, because a container may have any name.
_NUMBER = re.compile(r"com\.docker\.compose\.container-number=(\d+)")


@dataclass(frozen=True, slots=True)
class Container:
    """A service's container, as reported by the engine."""

    state: str
    """`running`, `exited`, `restarting`, ..."""
    health: str
    """`healthy`, `unhealthy` or `starting`; empty without a health check."""
    exit_code: int
    id: str
    since: str
    number: int
    """Number among the service's containers, from 1."""

    @property
    def is_ready(self) -> bool:
        """Whether it is running and healthy, or has exited successfully."""
        if self.state == "exited":
            return self.exit_code == 0
        return self.state == "running" and self.health in ("healthy", "")


class Compose:
    """The project's compose files under the loaded environment.

    Every method raises StackError if there is no Docker. `given` adds variables for compose.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        settings = Settings.load()
        self._environment = {
            **os.environ,
            **(given or {}),
            "CONTAINER_UID": str(container_uid()),
            # Images contain no git checkout.
            "GIT_REVISION": git_revision(),
            "MLSTACK_CLONE": identify(ROOT).id,
            "DOCKER_NO_PROXY": configured_no_proxy(os.environ),
            # Messages about alerts link to them.
            "MONITOR_PAGE": settings.monitor_page,
            "ALERTMANAGER_PAGE": settings.alertmanager_page,
        }
        if not _has_buildx():
            self._environment.setdefault("DOCKER_BUILDKIT", "0")

    def run(self, *arguments: str, stdin: Any = None) -> None:
        """Run compose and show its output; raise StackError if it fails."""
        if self.call(*arguments, stdin=stdin).returncode:
            raise StackError(f"docker compose {arguments[0]} failed: see above")

    def read(self, *arguments: str) -> str:
        """Run compose and return its output; raise StackError with the reason on failure."""
        done = self.call(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            raise StackError(done.stderr.strip() or f"docker compose {arguments[0]} failed")
        return str(done.stdout)

    def call(self, *arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run compose with options of `subprocess.run`; the caller checks the exit code."""
        require_engine()
        return subprocess.run(
            ["docker", "compose", *_progress(), *arguments],
            cwd=ROOT,
            env={**self._environment, **for_compose()},
            text=True,
            check=False,
            **options,
        )

    def become(self, *arguments: str) -> NoReturn:
        """Replace this process with compose."""
        require_engine()
        os.chdir(ROOT)
        environment = {**self._environment, **for_compose()}
        os.execvpe("docker", ["docker", "compose", *arguments], environment)  # noqa: S606 - no shell is involved

    @property
    def services(self) -> Mapping[str, Any]:
        """Every service of the environment, as in the compose files."""
        services: dict[str, Any] = self._configuration["services"]
        return services

    @property
    def project(self) -> str:
        """Name of the compose project."""
        return str(self._configuration["name"])

    @property
    def volumes(self) -> dict[str, str]:
        """Names of the volumes by their keys in the compose files."""
        return {key: each["name"] for key, each in self._configuration["volumes"].items()}

    @cached_property
    def _configuration(self) -> Mapping[str, Any]:
        configuration: dict[str, Any] = json.loads(self.read("config", "--format", "json"))
        return configuration

    def containers(self) -> dict[str, list[Container]]:
        """Return the existing containers by service; there may be several of one."""
        lines = self.read("ps", "--all", "--format", "json").splitlines()
        found: dict[str, list[Container]] = {}
        for each in (json.loads(line) for line in lines if line):
            # Exclude the containers of running jobs.
            if "com.docker.compose.oneoff=True" in each.get("Labels", ""):
                continue
            number = _NUMBER.search(each.get("Labels", ""))
            container = Container(
                state=each["State"],
                health=each["Health"],
                exit_code=int(each["ExitCode"]),
                id=each["ID"],
                since=each["RunningFor"],
                number=int(number[1]) if number else 1,
            )
            found.setdefault(each["Service"], []).append(container)
        return {name: sorted(each, key=lambda one: one.number) for name, each in found.items()}


def _progress() -> tuple[str, ...]:
    # Progress bars would fill a log with lines.
    return () if sys.stdout.isatty() else ("--progress", "quiet")


def require_engine() -> None:
    """Raise StackError if there is no docker command."""
    if shutil.which("docker") is None:
        raise StackError("docker is not on the PATH: install it, or run without Docker: make demo")


def _has_buildx() -> bool:
    # Debian's Docker lacks it; compose must then build without it.
    if shutil.which("docker") is None:
        return True
    asked = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return asked.returncode == 0


def docker(*arguments: str) -> str:
    """Run docker and return its output; raise StackError with the reason on failure."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(done.stderr.strip())
    return done.stdout
