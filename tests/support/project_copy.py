"""A copy of the project that a test may run as a whole, beside a developer's own stack."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mlstack.environments import OWN_VARIABLES
from mlstack.settings import ROOT
from operations.embedded import processes
from tests.support.ports import free_ports

PORT_VARIABLES = (
    "API_PORT",
    "MLFLOW_PORT",
    "PREFECT_PORT",
    "AWS_PORT",
    "MONGO_PORT",
    "STREAM_METRICS_PORT",
    "KEEPER_METRICS_PORT",
    "PROMETHEUS_PORT",
    "ALERTMANAGER_PORT",
    "GRAFANA_PORT",
    "REPORTS_PORT",
    "EVIDENTLY_PORT",
    "DASK_DASHBOARD_PORT",
)


class ProjectCopy:
    """The working tree in a folder of its own, with free ports and the same packages.

    Args:
        folder: Where the copy is.
        variables: Given to every make.
    """

    def __init__(self, folder: Path, variables: dict[str, str]) -> None:
        self.folder = folder
        self.variables = variables
        self.prefix: tuple[str, ...] = ()
        """What make is run with, such as `unshare`."""
        self.umask = -1
        """Umask of make; -1 is the test's own."""
        self.environment = _environment()
        """What make is called from."""

    def port(self, variable: str) -> int:
        """Look up a service's port."""
        return int(self.variables[variable])

    def make(
        self, *targets: str, timeout: float = 300, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run make in the copy; output and errors are together in `stdout`."""
        given = (f"{key}={value}" for key, value in {**self.variables, **variables}.items())
        return subprocess.run(
            [*self.prefix, "make", *targets, *given],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            umask=self.umask,
            check=False,
        )

    def supervise(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the embedded environment's own command line in the copy."""
        python = str(self.folder / ".venv/bin/python")
        module = ("-m", "mlstack.with_environment", "--given", " ".join(self.variables))
        return subprocess.run(
            [python, *module, "--set-up", "embedded", "-m", "operations.stack", *arguments],
            cwd=self.folder,
            env={**self.environment, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def processes(self) -> dict[str, list[psutil.Process]]:
        """List the running processes of the copy's stack, by service."""
        return processes.find_by_service(self.folder / ".embedded")

    def pid(self, service: str) -> int | None:
        """Look up the pid of a service; None: it does not run."""
        process = processes.find_recorded(self.folder / ".embedded", service)
        return process.pid if process else None


@contextmanager
def project_copy(folder: Path) -> Iterator[ProjectCopy]:
    """Make a copy in a folder; end everything that it started."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, os.fsdecode(listed.stdout).split("\0")):
        if (ROOT / name).is_file():  # a deleted file is listed until the deletion is committed
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
            target.chmod((ROOT / name).stat().st_mode)
    _lend_packages(folder)
    ports = map(str, free_ports(len(PORT_VARIABLES)))
    copy = ProjectCopy(folder, dict(zip(PORT_VARIABLES, ports, strict=True)))
    try:
        yield copy
    finally:
        copy.make("reset_all", env="embedded")
        processes.end_service(folder / ".embedded", None, grace_seconds=1)


def _lend_packages(folder: Path) -> None:
    """Make a `.venv` of links, whose stamps are in the copy only."""
    lent = folder / ".venv"
    lent.mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (lent / name).symlink_to(Path(sys.prefix) / name)
    listing = subprocess.run(
        ["make", "-pn", "help"], cwd=folder, capture_output=True, text=True, check=True
    )
    for line in listing.stdout.splitlines():
        name, _, value = line.partition(" := ")
        if name in ("OPERATE", "RUNTIME", "DEV", "BENCH"):
            (folder / value.replace("$(VENV)", ".venv")).touch()


def _environment() -> dict[str, str]:
    """The environment of the test, without what a surrounding make hands on."""
    hidden = {*OWN_VARIABLES, "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VENV"}
    return {key: value for key, value in os.environ.items() if key not in hidden}
