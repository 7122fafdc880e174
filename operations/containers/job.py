"""Run a module in a container of its own, next to the services.

Usage: python -m operations.containers.job MODULE ARGUMENTS...

The container has the image, volumes, network and secrets of the service that contains the module.
It runs even if that service is down, and is removed when it ends.
"""

import os
import subprocess
import sys
from pathlib import Path

from mlstack import command_line, environments
from mlstack.caller_environment import user_name
from mlstack.data.table_files import table_content
from mlstack.settings import ROOT, Settings
from operations.containers.engine import Compose
from operations.containers.ownership import Project
from operations.errors import StackError

_SERVICES = {
    "model_orchestration": "agent",
    "operations.aws": "aws-keeper",
    "operations.backup": "agent",
    "operations.demo": "agent",
    "operations.quarantine": "agent",
    "operations.predictions": "agent",
    "operations.receipts": "agent",
    "operations.retention": "agent",
    "operations.scoring": "agent",
    "reporting": "agent",
    "server": "agent",
}
"""The service that can run a package's modules; the first match applies.

A deploy converts models of earlier releases, for which the servers' images have no packages."""

# Paths on this machine; the image sets its own.
_MACHINE_VARIABLES = {
    "DASK_CERTIFICATE",
    "DATA_FILE",
    "LISTEN_ADDRESS",
    "LOGS_DIR",
    "MLFLOW_ARTIFACTS_DESTINATION",
    "MLFLOW_BACKEND_STORE_URI",
    "REPORTS_DIR",
    "STATE_DIR",
}
SCORING = "operations.scoring.remote"
"""Its input and output are always files."""
_RECEIVE = 'cat >"$DATA_FILE" && exec "$@"'


def service_of(module: str) -> str:
    """Return the service that can run a module; raise StackError if none can."""
    for package, service in _SERVICES.items():
        if f"{module}.".startswith(f"{package}."):
            return service
    raise StackError(f"{module}: no service's image contains this module")


def prepare(
    environment: str,
    settings: Settings,
    module: str,
    arguments: list[str],
    data_file: str | None = None,
) -> tuple[Compose, list[str]]:
    """Return compose, and the arguments with which it runs a job.

    `data_file` is the table's address in the container, or its path, to which the job's input goes.

    Raises StackError if no service contains the module.
    """
    service = service_of(module)
    if not settings.contract_path.resolve().is_relative_to(ROOT / "contracts"):
        raise StackError(
            f"CONTRACT={settings.contract}: put it into contracts/, which images are built with"
        )
    Project(Compose()).claim()
    own = environments.variables(environment)
    given = {
        name: own[name] for name in environments.OWN_VARIABLES & own.keys() - _MACHINE_VARIABLES
    }
    # The deployment history records this user.
    given["LOGNAME"] = user_name()
    command = ["python", "-m", module, *arguments]
    if data_file is not None:
        given["DATA_FILE"] = data_file
        if not data_file.startswith("s3://"):
            command = ["sh", "-c", _RECEIVE, "receive", *command]
    # Some versions of compose check only standard output for a terminal.
    terminal = [] if sys.stdin.isatty() and module != SCORING else ["--no-TTY"]
    # Names without values, because command lines are visible to everybody.
    variables = [word for name in given for word in ("--env", name)]
    line = ["run", "--rm", "--no-deps", *terminal, *variables, service, *command]
    return Compose(given), line


def become(environment: str, settings: Settings, module: str, arguments: list[str]) -> None:
    """Replace this process with the job, including signals, terminal and exit code.

    Raises StackError if no service contains the module, or a file is missing.
    """
    data_file = None
    if module == "operations.aws.init_aws" and settings.data_file is not None:
        data_file = str(settings.data_file)
        if isinstance(settings.data_file, Path):
            # Send the file instead of mounting it: the container's user may lack read permission,
            # and the engine may be remote.
            os.dup2(open_table(ROOT / settings.data_file, "DATA_FILE"), sys.stdin.fileno())
            data_file = f"/tmp/{settings.data_file.name}"  # noqa: S108 - the container's own
    compose, line = prepare(environment, settings, module, arguments, data_file)
    if module == "operations.backup.restore":
        # The servers normally create the account, but an empty stack has none yet.
        Compose().run("run", "--rm", "mongo-account", stdin=subprocess.DEVNULL)
    compose.become("--progress", "quiet", *line)


def open_table(path: Path, name: str) -> int:
    """Open a table's file, or a folder's files packed as one; `name` is the setting's."""
    if not path.is_dir():
        if not path.exists():
            raise StackError(f"{name}={path}: there is no such file")
        return os.open(path, os.O_RDONLY)
    packed = os.memfd_create("table")
    with os.fdopen(os.dup(packed), "wb") as file:
        file.write(table_content(path))
    os.lseek(packed, 0, os.SEEK_SET)
    return packed


def main() -> None:
    """Run the job that the command line names."""
    if len(sys.argv) == 1:
        raise StackError((__doc__ or "").strip())
    environment = os.environ[environments.NAME_VARIABLE]
    become(environment, environments.load(environment), sys.argv[1], sys.argv[2:])


if __name__ == "__main__":
    command_line.run(main)
