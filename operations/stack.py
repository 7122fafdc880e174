"""Start, stop, show, reset and adopt the services of the active environment.

NAME is a group (`model-registry`, `serve`, `monitoring`) or a service. The environment must be
loaded (`python -m mlstack.with_environment`).
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlstack import command_line, environments
from operations.errors import StackError
from operations.machine.findings import contract_fault, table_finding

if TYPE_CHECKING:
    from operations.containers.stack import ContainerStack
    from operations.embedded.stack import EmbeddedStack

_TRAINS = "model-registry"
"""The group whose services need contract and table."""


def runs_in_containers(environment: str) -> bool:
    """Return whether an environment's file names compose files."""
    return "COMPOSE_FILE" in environments.variables(environment)


def main(arguments: Sequence[str] | None = None) -> None:
    """Execute one command."""
    parser = command_line.argument_parser("operations.stack", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in ("start", "stop"):
        commands.add_parser(command).add_argument("names", nargs="+", metavar="NAME")
    commands.add_parser("status")
    commands.add_parser("logs").add_argument("service", nargs="?", default="")
    commands.add_parser("reset")
    commands.add_parser("adopt")
    options = parser.parse_args(arguments)
    stack = _active_stack()
    match options.command:
        case "start":
            if _TRAINS in options.names:
                _check_table()
            stack.start(options.names)
        case "stop":
            stack.stop(options.names)
        case "status":
            stack.status()
        case "logs":
            stack.logs(options.service)
        case "reset":
            stack.reset()
        case "adopt":
            stack.adopt()


def _check_table() -> None:
    """Refuse a contract or a table before anything is started that needs it."""
    environment = os.environ[environments.NAME_VARIABLE]
    settings = environments.load(environment)
    if fault := contract_fault(settings):
        raise StackError(fault)
    table = table_finding(settings, reaches_s3=not runs_in_containers(environment))
    if table.fault and not table.optional:
        raise StackError(table.fault)


def _active_stack() -> "ContainerStack | EmbeddedStack":
    # The environments install different packages.
    environment = os.environ[environments.NAME_VARIABLE]
    settings = environments.load(environment)
    if runs_in_containers(environment):
        from operations.containers.stack import ContainerStack  # noqa: PLC0415 - see above

        return ContainerStack(environment, settings)
    from operations.embedded.stack import EmbeddedStack  # noqa: PLC0415 - see above

    return EmbeddedStack(settings)


if __name__ == "__main__":
    command_line.run(main)
