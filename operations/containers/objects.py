"""Read containers and volumes from the engine, with the labels that tell their owner."""

import io
import json
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass

from operations.containers.engine import docker
from operations.errors import StackError

CLONE_LABEL = "mlstack.clone"
FOLDER_LABEL = "mlstack.folder"

_COMPOSE_LABEL = "com.docker.compose."


@dataclass(frozen=True, slots=True)
class Found:
    """A container or a volume.

    Args:
        name: As the engine lists it.
        clone: Id of the clone that made it; empty if the release before did.
        folder: Folder of that clone at the time, for people; empty if unknown.
        service: Service of a container.
        is_running: Whether it is a container that runs.
    """

    name: str
    clone: str
    folder: str
    service: str = ""
    is_running: bool = False


def find_containers(project: str) -> list[Found]:
    """Return the containers of a compose project's services, without those of jobs."""
    wanted = (f"label={_COMPOSE_LABEL}project={project}", f"label={_COMPOSE_LABEL}oneoff=False")
    filters = [word for each in wanted for word in ("--filter", each)]
    ids = docker("ps", "--all", "--quiet", "--no-trunc", *filters).split()
    if not ids:
        return []
    found = []
    for each in json.loads(docker("inspect", *ids)):
        labels = each["Config"]["Labels"]
        found.append(
            Found(
                name=each["Name"].removeprefix("/"),
                clone=labels.get(CLONE_LABEL, ""),
                folder=labels.get(f"{_COMPOSE_LABEL}project.working_dir", ""),
                service=labels.get(f"{_COMPOSE_LABEL}service", ""),
                is_running=each["State"]["Status"] == "running",
            )
        )
    return found


def find_volumes(names: Iterable[str]) -> dict[str, Found]:
    """Return those of the named volumes that exist, by name."""
    existing = sorted({*names} & {*docker("volume", "ls", "--quiet").split()})
    if not existing:
        return {}
    return {
        each["Name"]: Found(
            name=each["Name"],
            clone=(each["Labels"] or {}).get(CLONE_LABEL, ""),
            folder=(each["Labels"] or {}).get(FOLDER_LABEL, ""),
        )
        for each in json.loads(docker("volume", "inspect", *existing))
    }


def read_secret_in(container: Found) -> tuple[str, str]:
    """Return name and value of the secret that a container was started with; empty if unknown.

    Compose copies the one into MongoDB's container. The agent's is a file of the clone: only a
    running container still has it when the file is replaced.
    """
    if container.service == "mongo":
        command = ["docker", "cp", f"{container.name}:/run/secrets/mongo_root_password", "-"]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            return "", ""
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            content = archive.extractfile(archive.getmembers()[0])
            value = content.read().decode() if content else ""
        return "mongo_root_password", value.strip()
    if container.service == "agent" and container.is_running:
        try:
            value = docker("exec", container.name, "cat", "/run/secrets/mongo_password")
        except StackError:
            return "", ""
        return "mongo_password", value.strip()
    return "", ""
