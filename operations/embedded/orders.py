"""Launch orders: what a start decided to run, kept for every restart until the next start."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from mlstack.files import write_atomically
from operations.embedded.errors import StackError
from operations.embedded.services import Service


@dataclass(frozen=True, slots=True)
class Order:
    """What the launcher is to run."""

    command: list[str]
    environment: dict[str, str]
    host: str
    port: int
    """Port that must be free; 0: it listens on none."""
    waits_for: str

    @classmethod
    def of(cls, service: Service, active: Mapping[str, str]) -> Self:
        """Order for a service.

        Args:
            service: What to run.
            active: The active environment's variables.
        """
        own = dict(active) if service.follows_settings else {}
        # The servers follow the deployment record, and a start is no deploy.
        own.pop("RUN_ID", None)
        return cls(
            command=list(service.command),
            environment={**own, **service.environment, "PYTHONUNBUFFERED": "1"},
            host=service.host,
            port=service.port,
            waits_for=service.waits_for,
        )

    @classmethod
    def read(cls, run: Path, service: str) -> Self:
        """Reads a service's order.

        Raises:
            StackError: there is none.
        """
        path = _path(run, service)
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError as error:
            raise StackError(f"{service}: it was never started ({path} is not there)") from error

    def write(self, run: Path, service: str) -> bool:
        """Writes the order; whether it differs from the one before."""
        path = _path(run, service)
        text = json.dumps(asdict(self), indent=1, sort_keys=True)
        if path.exists() and path.read_text() == text:
            return False
        # It may carry keys; and the next start writes it again.
        write_atomically(path, text.encode(), sync=False, mode=0o600)
        return True


def _path(run: Path, service: str) -> Path:
    return run / f"{service}.order.json"
