"""Runs a module where it belongs: in a container of its own, beside the services.

Usage: python -m operations.containers.job MODULE ARGUMENTS...

The container is like the one of the service that has the module's code: same image, volumes,
network and secrets. It runs whether that one is up or not, and is removed when it ends.
"""

import getpass
import os
import subprocess
import sys

from mlstack import environments
from mlstack.errors import MlstackError
from mlstack.settings import ROOT, Settings
from operations.containers import credentials
from operations.containers.engine import Compose
from operations.containers.errors import ContainerError

_SERVICES = {
    "model_orchestration": "agent",
    "operations.aws": "aws-keeper",
    "operations.backup": "agent",
    "operations.demo": "agent",
    "operations.retention": "agent",
    "reporting": "agent",
    "server": "model-server-api",
}
"""Which service has the code of which package."""

# Where things are in a container is the image's business.
_OF_THE_MACHINE = frozenset(
    {
        *("DATA_FILE", "LISTEN_ADDRESS", "LOGS_DIR", "REPORTS_DIR", "STATE_DIR"),
        *("MLFLOW_ARTIFACTS_DESTINATION", "MLFLOW_BACKEND_STORE_URI"),
    }
)
_RECEIVE = 'cat >"$DATA_FILE" && exec "$@"'


def service_of(module: str) -> str:
    """Return the service whose image contains a module.

    Raises:
        ContainerError: None has it.
    """
    for package, service in _SERVICES.items():
        if module.startswith(f"{package}."):
            return service
    raise ContainerError(f"{module}: no service has this module's code")


def become(environment: str, settings: Settings, module: str, arguments: list[str]) -> None:
    """Becomes the job: signals, terminal and exit code are its own.

    Raises:
        ContainerError: no service has such a module, or a file is not there.
    """
    service = service_of(module)
    if not settings.contract_path.resolve().is_relative_to(ROOT / "contracts"):
        raise ContainerError(
            f"CONTRACT={settings.contract}: put it into contracts/, which images are built with"
        )
    credentials.ensure()
    own = environments.variables(environment)
    given = {name: own[name] for name in environments.OWN_VARIABLES & own.keys() - _OF_THE_MACHINE}
    # A deployment's history says who it was.
    given["LOGNAME"] = getpass.getuser()
    command = ["python", "-m", module, *arguments]
    if module == "operations.aws.init_aws" and settings.data_file is not None:
        # Sent, and not mounted: the file need not be readable to others, and the engine may
        # be on another machine.
        path = ROOT / settings.data_file
        if not path.is_file():
            raise ContainerError(f"DATA_FILE={settings.data_file}: there is no such file")
        os.dup2(os.open(path, os.O_RDONLY), sys.stdin.fileno())
        given["DATA_FILE"] = f"/tmp/{path.name}"  # noqa: S108 - the container's own
        command = ["sh", "-c", _RECEIVE, "receive", *command]
    if module == "operations.backup.restore":
        # It comes with the servers, which an empty stack has none of yet.
        Compose().run("run", "--rm", "mongo-account", stdin=subprocess.DEVNULL)
    # Whether there is a terminal is asked of standard output alone by some versions of compose.
    terminal = [] if sys.stdin.isatty() else ["--no-TTY"]
    # Names alone: a command line is everybody's to read.
    variables = [word for name in given for word in ("--env", name)]
    Compose(given).become(
        "--progress", "quiet", "run", "--rm", "--no-deps", *terminal, *variables, service, *command
    )


def main(arguments: list[str]) -> None:
    """Entry point.

    Raises:
        MlstackError: the job cannot be started.
    """
    if not arguments:
        raise ContainerError((__doc__ or "").strip())
    environment = os.environ[environments.NAME_VARIABLE]
    become(environment, environments.load(environment), arguments[0], arguments[1:])


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MlstackError as error:
        sys.exit(str(error))
