"""Read the engine's description of a running container."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from operations.containers.engine import Compose, docker
from operations.errors import StackError

_OWN = "mlstack/"


class Inspected:
    """A running container, from `docker inspect` and its processes' user ids."""

    def __init__(self, document: Mapping[str, Any], uids: Iterable[int]) -> None:
        self._document, self._uids = document, frozenset(uids)
        self._host: Mapping[str, Any] = document["HostConfig"]

    @property
    def service(self) -> str:
        """Name of the service in the compose file."""
        return str(self._document["Config"]["Labels"]["com.docker.compose.service"])

    @property
    def image(self) -> str:
        """Image name without version."""
        name = str(self._document["Config"]["Image"]).partition("@")[0]
        place, slash, last = name.rpartition("/")
        return f"{place}{slash}{last.partition(':')[0]}"

    @property
    def is_ours(self) -> bool:
        """Whether this project builds the image."""
        return self.image.startswith(_OWN)

    @property
    def is_root(self) -> bool:
        """Whether it starts as root, or one of its processes runs as root."""
        user = str(self._document["Config"].get("User") or "0").partition(":")[0]
        return user in ("0", "root") or 0 in self._uids

    @property
    def ports(self) -> list[tuple[str, int]]:
        """The machine's addresses and ports that are published for it."""
        published = self._document["NetworkSettings"]["Ports"] or {}
        return [
            (binding["HostIp"], int(binding["HostPort"]))
            for bindings in published.values()
            for binding in bindings or ()
        ]

    @property
    def added_capabilities(self) -> list[str]:
        """Capabilities in addition to the defaults."""
        added = list(self._host["CapAdd"] or ())
        return ["all: it is privileged", *added] if self._host["Privileged"] else added

    @property
    def drops_all_capabilities(self) -> bool:
        """Whether it has no capabilities at all."""
        return "ALL" in (self._host["CapDrop"] or ())

    @property
    def has_read_only_root(self) -> bool:
        """Whether only its volumes are writable."""
        return bool(self._host["ReadonlyRootfs"])

    @property
    def gains_no_privileges(self) -> bool:
        """Whether its programs cannot gain privileges."""
        options = self._host["SecurityOpt"] or ()
        return bool({"no-new-privileges", "no-new-privileges:true"} & set(options))

    @property
    def parts_of_machine(self) -> list[str]:
        """Namespaces that it shares with the machine, and the engine's socket."""
        shared = [
            name for name in ("NetworkMode", "PidMode", "IpcMode") if self._host[name] == "host"
        ]
        sources = [mount.get("Source", "") for mount in self._document["Mounts"]]
        return shared + [source for source in sources if source.endswith("docker.sock")]

    @property
    def variables(self) -> dict[str, str]:
        """The environment it was created with."""
        pairs = (line.partition("=") for line in self._document["Config"]["Env"])
        return {name: value for name, _, value in pairs}


def inspect_running() -> list[Inspected]:
    """Inspect every running container of this project, sorted by service.

    Raises StackError if none is running, or the engine does not answer.
    """
    services = Compose().containers().values()
    ids = [each.id for containers in services for each in containers if each.state == "running"]
    if not ids:
        raise StackError("no container runs: make setup-model-serve")
    found = [
        Inspected(document, _uids(document["Id"]))
        for document in json.loads(docker("inspect", *ids))
    ]
    return sorted(found, key=lambda each: each.service)


def _uids(container: str) -> set[int]:
    _, *lines = docker("top", container, "-eo", "uid,pid").splitlines()
    return {int(line.split()[0]) for line in lines}
