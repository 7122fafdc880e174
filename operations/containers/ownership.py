"""Tell whether the containers and volumes of a compose project are this clone's.

All clones have the same project name, so it proves nothing, nor does a path. A project belongs to
the clone whose id is on the project's owner volume, an empty one. Containers and data volumes carry
the id too. Those of the release before carry none: they are this clone's if a container holds a
secret of its `.secrets/`, else only after `make adopt`.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlstack import environments
from mlstack.command_line import say
from mlstack.settings import ROOT
from operations.clone import Clone, identify
from operations.containers import credentials
from operations.containers.engine import Compose, docker
from operations.containers.objects import (
    CLONE_LABEL,
    FOLDER_LABEL,
    Found,
    find_containers,
    find_volumes,
    read_secret_in,
)
from operations.errors import StackError


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who owns a compose project.

    Args:
        existing: Names of the data volumes that exist, by their keys in the compose files.
        refusal: Why this clone may not use it, and what to do; empty if it may.
        adoptable: Whether `make adopt` may take it over.
    """

    existing: Mapping[str, str]
    refusal: str = ""
    adoptable: bool = True

    @property
    def is_ours(self) -> bool:
        """Whether this clone may use, change and delete it."""
        return not self.refusal


class Project:
    """A compose project on the engine, seen from the clone in `root`."""

    def __init__(self, compose: Compose, root: Path = ROOT) -> None:
        self._root, self._clone = root, identify(root)
        self._name = compose.project
        self._volumes = compose.volumes
        self._marker = f"{self._name}_owner"

    def claim(self) -> list[str]:
        """Make sure that the project is this clone's, with its secrets and volumes.

        Returns the names of the secrets that were generated. Raises StackError if the project is
        not this clone's, or a volume was created with a secret that is lost.
        """
        existing = self.require().existing
        self._mark()
        # Before the volumes that will be created with them.
        drawn = credentials.ensure(existing)
        for key, name in self._volumes.items():
            if key not in existing:
                self._create(name, key)
        return drawn

    def require(self) -> Verdict:
        """Raise StackError unless the project is this clone's."""
        verdict = self.judge()
        if not verdict.is_ours:
            raise StackError(verdict.refusal)
        return verdict

    def adopt(self) -> None:
        """Take over what another clone, or the release before, has left.

        Raises StackError while containers of another existing clone are running.
        """
        verdict = self.judge()
        if not verdict.adoptable:
            raise StackError(verdict.refusal)
        self.forget()
        self._mark()
        names = ", ".join(sorted(verdict.existing.values())) or "no volumes"
        say(f"compose project {self._name} is this clone's now: {names}")

    def forget(self) -> None:
        """Remove the owner volume, after everything else."""
        if find_volumes([self._marker]):
            docker("volume", "rm", self._marker)

    def judge(self) -> Verdict:
        """Find out who owns the project."""
        volumes = find_volumes([*self._volumes.values(), self._marker])
        containers = find_containers(self._name)
        marker = volumes.pop(self._marker, None)
        existing = {key: name for key, name in self._volumes.items() if name in volumes}
        found = [*containers, *volumes.values()]

        marked = [marker] if marker else [each for each in found if each.clone]
        others = [each for each in marked if each.clone != self._clone.id]
        if others:
            other = Clone(others[0].clone, others[0].folder)
            if not (found or other.is_there):
                return Verdict(existing)  # only the owner volume of a clone that is gone
            running = other.is_there and any(each.is_running for each in containers)
            return Verdict(existing, self._belongs_to(other), adoptable=not running)
        if marked or not found or self._holds_our_secrets(containers):
            return Verdict(existing)
        return Verdict(existing, self._belongs_to_nobody(found))

    def _mark(self) -> None:
        """Create the owner volume; raise StackError if another clone was faster."""
        self._create(self._marker, "owner")
        marker = find_volumes([self._marker])[self._marker]
        if marker.clone != self._clone.id:
            owner = Clone(marker.clone, marker.folder)
            if owner.is_there:
                raise StackError(self._belongs_to(owner))
            self.forget()
            self._create(self._marker, "owner")

    def _create(self, name: str, key: str) -> None:
        labels = {
            CLONE_LABEL: self._clone.id,
            FOLDER_LABEL: str(self._root),
            # Otherwise compose would warn of a volume that is not its own. It must not have
            # compose's hash: with another clone's id, compose would ask whether to delete it.
            "com.docker.compose.project": self._name,
            "com.docker.compose.volume": key,
        }
        words = [word for pair in labels.items() for word in ("--label", "=".join(pair))]
        docker("volume", "create", *words, name)

    def _holds_our_secrets(self, containers: Iterable[Found]) -> bool:
        """Whether containers without an id hold secrets, and all of them this clone's."""
        held = []
        for container in containers:
            name, secret = read_secret_in(container)
            if not secret:
                continue
            if _secret(self._root, name) != secret:
                return False
            held.append(container)
            original = Path(container.folder)
            if _secret(original, name) == secret and not original.samefile(self._root):
                # This is a copy of a folder that is still there.
                return False
        return bool(held)

    def _belongs_to(self, other: Clone) -> str:
        environment = os.environ.get(environments.NAME_VARIABLE, "local")
        if not other.is_there:
            return (
                f"the containers and volumes of compose project {self._name} belong to the clone "
                f"in {other.folder}, which this user does not find there any more; if they are "
                f"yours, take them over: make adopt env={environment}"
            )
        return (
            f"the containers and volumes of compose project {self._name} belong to the clone in "
            f"{other.folder}: run make there. To run a second stack from this folder, give it a "
            f"project and ports of its own in .env.{environment} (COMPOSE_PROJECT_NAME=..., "
            f"API_PORT=... and so on). To take over the first one, stop it there and run "
            f"make adopt env={environment} here"
        )

    def _belongs_to_nobody(self, found: Iterable[Found]) -> str:
        environment = os.environ.get(environments.NAME_VARIABLE, "local")
        names = ", ".join(sorted(each.name for each in found))
        folders = sorted({each.folder for each in found if each.folder})
        since = f", started from {' and '.join(folders)}" if folders else ""
        return (
            f"compose project {self._name} has containers or volumes of the release before{since} "
            f"({names}), and nothing proves that they are this clone's; if they are yours, take "
            f"them over: make adopt env={environment}"
        )


def _secret(folder: Path, name: str) -> str:
    # Empty for a folder that this user may not enter: it has nothing that could be ours.
    return credentials.read(folder / credentials.FOLDER.name / name)
