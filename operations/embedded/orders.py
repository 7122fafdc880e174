"""Launch orders: how a service is started, and restarted, until make starts it again."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from mlstack.files import write_atomically
from operations.embedded.service import Service
from operations.errors import StackError


@dataclass(frozen=True, slots=True)
class Order:
    """What the launcher runs: parts of a `Service`, and its complete environment."""

    command: list[str]
    environment: dict[str, str]
    host: str
    port: int
    waits_for: str

    @classmethod
    def of(cls, service: Service, active: Mapping[str, str]) -> Self:
        """Create a service's order from the active environment's variables."""
        own = dict(active) if service.follows_settings else {}
        # Servers follow the deployment record; starting them does not deploy.
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
        """Read a service's order; raise StackError if there is none, or it is damaged."""
        path = _path(run, service)
        try:
            return cls(**json.loads(path.read_bytes()))
        except FileNotFoundError as error:
            raise StackError(f"it was never started ({path} does not exist)") from error
        except (ValueError, TypeError) as error:
            raise StackError(
                f"its launch order {path} is damaged: start it again with make, which writes a new "
                "one"
            ) from error

    def write(self, run: Path, service: str) -> bool:
        """Write the order and return whether it has changed."""
        path = _path(run, service)
        content = json.dumps(asdict(self), indent=1, sort_keys=True).encode()
        if path.exists() and path.read_bytes() == content:
            return False
        # It may contain keys. It needs no sync, because the next start rewrites it.
        write_atomically(path, content, sync=False, mode=0o600)
        return True


def _path(run: Path, service: str) -> Path:
    return run / f"{service}.order.json"
