"""The stack in containers, as make brings it up, in a project of its own."""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.waiting import wait_until


def no_engine() -> str:
    """Say why there is no Docker engine; empty: there is one."""
    try:
        asked = subprocess.run(
            ["docker", "version"], capture_output=True, text=True, timeout=20, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired) as error:
        return f"there is no Docker engine: {error}"
    return "" if asked.returncode == 0 else f"there is no Docker engine: {asked.stderr.strip()}"


def docker(*arguments: str) -> str:
    """Run docker; return what it prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def kill_container(inspected: Any) -> None:
    """Kill a container's process; the engine starts it again."""
    pid = inspected["State"]["Pid"]
    # Docker's own kill counts as a stop by hand, after which nothing is started again.
    if os.getuid() == 0:
        os.kill(pid, 9)
    else:
        subprocess.run(["sudo", "--non-interactive", "kill", "-9", str(pid)], check=True)


def build_image(project: ProjectCopy, service: str) -> None:
    """Build a service's image from a copy of the project, as `make ... env=local` does."""
    code = (
        "from operations.containers.engine import Compose; from mlstack import environments; "
        f"environments.load('local'); Compose().run('build', '--quiet', '{service}')"
    )
    python = str(project.folder / ".venv/bin/python")
    environment = {**os.environ, **project.variables}
    subprocess.run([python, "-c", code], cwd=project.folder, env=environment, check=True)


class Containers:
    """Services in containers; see `tests.support.stack.Runtime`.

    Args:
        name: Of the compose project.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def inspected(self) -> dict[str, Any]:
        """Inspect each service's container."""
        ids = docker("ps", "--all", "--quiet", "--filter", self._label).split()
        found = json.loads(docker("inspect", *ids)) if ids else []
        service, job = "com.docker.compose.service", "com.docker.compose.oneoff"
        return {
            each["Config"]["Labels"][service]: each
            for each in found
            if each["Config"]["Labels"].get(job) != "True"
        }

    def instances(self, service: str) -> list[Any]:
        """Inspect all containers of a service."""
        label = f"label=com.docker.compose.service={service}"
        ids = docker("ps", "--all", "--quiet", "--filter", self._label, "--filter", label).split()
        return list(json.loads(docker("inspect", *ids))) if ids else []

    def kill(self, service: str) -> None:
        before = self.inspected()[service]
        kill_container(before)
        wait_until(
            lambda: self.inspected()[service]["RestartCount"] > before["RestartCount"],
            f"{service} is restarted",
        )

    def is_ready(self, service: str) -> bool:
        state = self.inspected()[service]["State"]
        return bool(state["Status"] == "running" and state["Health"]["Status"] == "healthy")

    def left(self) -> list[str]:
        """List containers, volumes and networks of the project."""
        return [
            *docker("ps", "--all", "--quiet", "--filter", self._label).split(),
            *docker("volume", "ls", "--quiet", "--filter", self._label).split(),
            *docker("network", "ls", "--quiet", "--filter", self._label).split(),
        ]

    @property
    def _label(self) -> str:
        return f"label=com.docker.compose.project={self.name}"


@contextmanager
def containers_copy(
    folder: Path, environment: str = "local"
) -> Iterator[tuple[ProjectCopy, Containers]]:
    """Make a copy of the project with a compose project of its own; remove all at the end."""
    with project_copy(folder) as project:
        containers = Containers(f"mlstack-test-{uuid.uuid4().hex[:8]}")
        project.variables["COMPOSE_PROJECT_NAME"] = containers.name
        try:
            yield project, containers
        finally:
            project.make("reset_all", env=environment)
