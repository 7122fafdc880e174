"""A container engine in memory: what `docker` answers about containers and volumes."""

import json
from dataclasses import dataclass, field
from typing import Any

PROJECT = "mlstack"
VOLUMES = {key: f"{PROJECT}_{key}" for key in ("mongo", "mlflow", "grafana")}


@dataclass
class FakeEngine:
    """Stands in for `operations.containers.engine.docker` and for `Compose`."""

    containers: list[dict[str, Any]] = field(default_factory=list)
    volumes: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    """Secrets in containers, by service."""
    project: str = PROJECT

    def run_service(
        self, service: str, folder: str, clone: str = "", *, state: str = "running"
    ) -> None:
        """Add a container that a clone in a folder has started."""
        labels = {
            "com.docker.compose.service": service,
            "com.docker.compose.project.working_dir": folder,
        }
        if clone:
            labels["mlstack.clone"] = clone
        self.containers.append(
            {
                "Name": f"/{PROJECT}-{service}-1",
                "Config": {"Labels": labels},
                "State": {"Status": state},
            }
        )

    def docker(self, *words: str) -> str:  # noqa: PLR0911 - one for each command
        """Answer as the command line does."""
        match words:
            case ("ps", *_):
                return "\n".join(each["Name"] for each in self.containers)
            case ("inspect", *names):
                return json.dumps([each for each in self.containers if each["Name"] in names])
            case ("exec", name, "cat", _):
                return self.secrets[name.removeprefix(f"{PROJECT}-").removesuffix("-1")]
            case ("volume", "ls", *_):
                return "\n".join(self.volumes)
            case ("volume", "inspect", *names):
                found = [{"Name": name, "Labels": self.volumes[name] or None} for name in names]
                return json.dumps(found)
            case ("volume", "create", *labels, name):
                pairs = (label.partition("=") for label in labels if label != "--label")
                # An existing one stays as it is.
                self.volumes.setdefault(name, {key: value for key, _, value in pairs})
                return name
            case ("volume", "rm", *names):
                for name in names:
                    del self.volumes[name]
                return ""
        raise AssertionError(words)
