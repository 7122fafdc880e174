"""Run Prometheus with the project's configuration and local addresses.

Its rules are a link to the container's; its configuration and targets are the container's with
local addresses.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from mlstack import command_line
from mlstack.files import write_atomically
from mlstack.settings import ROOT, Settings
from operations.embedded import layout
from operations.embedded.service import HERE, Service
from operations.embedded.services import all_services
from operations.errors import StackError

PROJECT = ROOT / "monitoring" / "prometheus"
TARGETS = "targets.yml"
ALERTMANAGERS = "alertmanagers.yml"

_CONFIGURATION = "prometheus.yml"
_RULES = "rules"
_LOOKED_UP = "dns_sd_configs"
# Prometheus drops the oldest data when it reaches either limit.
_KEPT_DAYS = 15
_KEPT_MB = 512


def targets(services: Iterable[Service]) -> list[dict[str, Any]]:
    """Return the project's scrape targets with local addresses, without missing programs.

    Raises StackError if a target is not a service with a port.
    """
    groups: list[dict[str, Any]] = yaml.safe_load((PROJECT / TARGETS).read_text(encoding="utf-8"))
    by_name = {service.name: service for service in services}
    lacking = {service.name for service in by_name.values() if service.lacks}
    return [
        {**group, "targets": [_address(group["labels"]["job"], by_name, TARGETS)]}
        for group in groups
        if group["labels"]["job"] not in lacking
    ]


def alertmanagers(services: Iterable[Service]) -> list[dict[str, Any]]:
    """Return where alerts are sent; nowhere if Alertmanager is not installed."""
    return [
        {"targets": [f"{HERE}:{service.port}"]}
        for service in services
        if service.name == "alertmanager" and not service.lacks
    ]


def configuration(services: Iterable[Service]) -> dict[str, Any]:
    """Return the project's configuration with local addresses instead of names to look up.

    Raises StackError as `targets` does.
    """
    document: dict[str, Any] = yaml.safe_load(
        (PROJECT / _CONFIGURATION).read_text(encoding="utf-8")
    )
    by_name = {service.name: service for service in services}
    for scraped in document["scrape_configs"]:
        if scraped.pop(_LOOKED_UP, None):
            address = _address(scraped["job_name"], by_name, _CONFIGURATION)
            scraped["static_configs"] = [{"targets": [address]}]
    return document


def configure(folder: Path, settings: Settings) -> Path:
    """Write the configuration into a folder; return Prometheus' main file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _RULES).unlink(missing_ok=True)
    (folder / _RULES).symlink_to(PROJECT / _RULES)
    services = all_services(settings)
    for name, document in (
        (TARGETS, targets(services)),
        (ALERTMANAGERS, alertmanagers(services)),
        (_CONFIGURATION, configuration(services)),
    ):
        write_atomically(folder / name, yaml.safe_dump(document).encode())
    return folder / _CONFIGURATION


def _address(job: str, services: Mapping[str, Service], file: str) -> str:
    if job not in services or not services[job].port:
        raise StackError(f"{PROJECT / file}: no service with a port: {job}")
    return f"{HERE}:{services[job].port}"


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
        # Puts MONITOR_PAGE into the configuration; later releases do so without it.
        "--enable-feature=expand-external-labels",
    )
    environment = {**os.environ, "MONITOR_PAGE": settings.monitor_page}
    os.execve(program, command, environment)  # noqa: S606 - no shell


if __name__ == "__main__":
    command_line.run(main)
