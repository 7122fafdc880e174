"""Run Prometheus with the project's configuration and local addresses.

Configuration and rules are links to the files that the container uses. Only the targets are
rewritten at each start.
"""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlstack import command_line
from mlstack.files import write_atomically
from mlstack.settings import ROOT, Settings
from operations.embedded import layout
from operations.embedded.service import HERE
from operations.embedded.services import all_services
from operations.errors import StackError

PROJECT = ROOT / "monitoring" / "prometheus"
TARGETS = "targets.yml"

_CONFIGURATION = "prometheus.yml"
_LINKED = (_CONFIGURATION, "rules")
# Prometheus drops the oldest data when it reaches either limit.
_KEPT_DAYS = 15
_KEPT_MB = 512


def targets(ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return the project's scrape targets with local addresses, from ports by name.

    Raises StackError if a target is not a service with a port.
    """
    groups: list[dict[str, Any]] = yaml.safe_load((PROJECT / TARGETS).read_text(encoding="utf-8"))
    jobs = [group["labels"]["job"] for group in groups]
    if unknown := sorted({*jobs} - {name for name, port in ports.items() if port}):
        raise StackError(f"{PROJECT / TARGETS}: no service with a port: {', '.join(unknown)}")
    return [
        {**group, "targets": [f"{HERE}:{ports[job]}"]}
        for job, group in zip(jobs, groups, strict=True)
    ]


def configure(folder: Path, settings: Settings) -> Path:
    """Write the configuration into a folder; return Prometheus' main file."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _LINKED:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(PROJECT / name)
    ports = {service.name: service.port for service in all_services(settings)}
    write_atomically(folder / TARGETS, yaml.safe_dump(targets(ports)).encode())
    return folder / _CONFIGURATION


def main() -> None:
    """Become Prometheus; raise StackError if it is not installed."""
    settings = Settings.load()
    program = shutil.which("prometheus")
    if program is None:
        raise StackError("prometheus is no longer installed")
    folder = layout.STACK / "prometheus"
    command = (
        program,
        f"--config.file={configure(folder, settings)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={_KEPT_DAYS}d",
        f"--storage.tsdb.retention.size={_KEPT_MB}MB",
        f"--web.listen-address={settings.bind_address}:{settings.prometheus_port}",
    )
    os.execv(program, command)  # noqa: S606 - no shell


if __name__ == "__main__":
    command_line.run(main)
