"""Runs Prometheus on the configuration that Docker has, with this environment's targets.

Usage: python -m operations.embedded.prometheus

Configuration and rules are links to the project's own; which services are scraped is read from
there too, and only where they are is written anew, at every start.
"""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mlstack.errors import MlstackError
from mlstack.files import write_atomically
from mlstack.settings import ROOT, Settings
from operations.embedded import layout
from operations.embedded.errors import StackError
from operations.embedded.services import HERE, all_services

PROJECT = ROOT / "monitoring" / "prometheus"
TARGETS = "targets.yml"

_CONFIGURATION = "prometheus.yml"
_LINKED = (_CONFIGURATION, "rules")
# What goes first is dropped from the old end.
_KEPT_DAYS = 15
_KEPT_MB = 512


def targets(ports: Mapping[str, int]) -> list[dict[str, Any]]:
    """The project's scrape targets, as they are on this machine.

    Args:
        ports: Of the services, by name.

    Returns:
        What Prometheus' `file_sd_configs` reads.

    Raises:
        StackError: the project names a target that is no service here.
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
    """Lays the configuration out in a folder; returns the file to start Prometheus with."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _LINKED:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(PROJECT / name)
    ports = {service.name: service.port for service in all_services(settings)}
    write_atomically(folder / TARGETS, yaml.safe_dump(targets(ports)).encode())
    return folder / _CONFIGURATION


def main() -> None:
    """Becomes Prometheus.

    Raises:
        StackError: it is not installed.
    """
    settings = Settings.load()
    program = shutil.which("prometheus")
    if program is None:
        raise StackError("prometheus is not installed any more")
    folder = layout.STACK / "prometheus"
    command = (
        program,
        f"--config.file={configure(folder, settings)}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--storage.tsdb.retention.time={_KEPT_DAYS}d",
        f"--storage.tsdb.retention.size={_KEPT_MB}MB",
        f"--web.listen-address={settings.bind_address}:{settings.prometheus_port}",
    )
    os.execv(program, command)  # noqa: S606 - that is the point


if __name__ == "__main__":
    try:
        main()
    except MlstackError as error:
        sys.exit(str(error))
