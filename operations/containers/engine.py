"""Docker compose, as this project's targets run it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

from mlstack.revision import git_revision
from mlstack.settings import ROOT
from operations.containers.credentials import container_uid, for_public_images
from operations.errors import StackError


@dataclass(frozen=True, slots=True)
class Container:
    """A service's container as the engine sees it."""

    state: str
    """`running`, `exited`, `restarting`, ..."""
    health: str
    """`healthy`, `unhealthy`, `starting`; empty: it has no health check."""
    exit_code: int
    id: str
    since: str

    @property
    def is_ready(self) -> bool:
        """Whether it works, or has done its work."""
        if self.state == "exited":
            return self.exit_code == 0
        return self.state == "running" and self.health in ("healthy", "")


class Compose:
    """The project's compose files under the environment that was loaded.

    Every method raises StackError when there is no Docker.

    Args:
        given: Variables for compose beside the environment's.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self._environment = {
            **os.environ,
            **(given or {}),
            "CONTAINER_UID": str(container_uid()),
            # Images have no git.
            "GIT_REVISION": git_revision(),
        }
        if not _has_buildx():
            self._environment.setdefault("DOCKER_BUILDKIT", "0")

    def run(self, *arguments: str, stdin: Any = None) -> None:
        """Run compose and show its output. Raises StackError: it fails."""
        if self.call(*arguments, stdin=stdin).returncode:
            raise StackError(f"docker compose {arguments[0]} failed: see above")

    def read(self, *arguments: str) -> str:
        """Run compose and return its output. Raises StackError: it fails; says why."""
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
            env={**self._environment, **for_public_images()},
            text=True,
            check=False,
            **options,
        )

    def become(self, *arguments: str) -> NoReturn:
        """Replace this process by compose."""
        require_engine()
        os.chdir(ROOT)
        environment = {**self._environment, **for_public_images()}
        os.execvpe("docker", ["docker", "compose", *arguments], environment)  # noqa: S606

    @cached_property
    def services(self) -> Mapping[str, Any]:
        """Return every service of the environment, as its files describe it."""
        services: dict[str, Any] = json.loads(self.read("config", "--format", "json"))["services"]
        return services

    def containers(self) -> dict[str, Container]:
        """Return the existing containers by service."""
        lines = self.read("ps", "--all", "--format", "json").splitlines()
        found = [json.loads(line) for line in lines if line]
        return {
            each["Service"]: Container(
                state=each["State"],
                health=each["Health"],
                exit_code=int(each["ExitCode"]),
                id=each["ID"],
                since=each["RunningFor"],
            )
            for each in found
            # Not the containers of a running job.
            if "com.docker.compose.oneoff=True" not in each.get("Labels", "")
        }


def _progress() -> tuple[str, ...]:
    # In a log the progress bars of a terminal would be pages of lines.
    return () if sys.stdout.isatty() else ("--progress", "quiet")


def require_engine() -> None:
    """Raise StackError when there is no docker command."""
    if shutil.which("docker") is None:
        raise StackError("there is no docker on the PATH: install it, or do without it: make demo")


def _has_buildx() -> bool:
    # Debian's Docker has none; compose has to be told to build without it.
    if shutil.which("docker") is None:
        return True
    asked = subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False)
    return asked.returncode == 0


def docker(*arguments: str) -> str:
    """Run docker and return its output. Raises StackError: it fails; says why."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackError(done.stderr.strip())
    return done.stdout
