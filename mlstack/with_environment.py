"""Runs Python with an environment loaded: how every make target starts its module.

Usage: python -m mlstack.with_environment [--set-up] NAME ARGUMENTS...

NAME is `embedded`, `local` or `cloud`; empty: the one that was last set up, else `local`.
ARGUMENTS are Python's own, such as `-m operations.aws.init_aws`. With --set-up the environment
becomes the active one first. (In a container the environment is given: modules start without this.)
"""

import os
import sys

from mlstack import environments
from mlstack.errors import MlstackError, SettingsError

DEFAULT = "local"


def prepare(arguments: list[str]) -> list[str]:
    """Brings the environment into the process environment.

    Args:
        arguments: The command line after the module's name.

    Returns:
        What Python is to be started with.

    Raises:
        SettingsError: there is no such environment, or nothing to run in it.
    """
    bring_in = environments.load
    match arguments:
        case ["--set-up", name, *command] if command:
            bring_in = environments.set_up
        case [name, *command] if command and not name.startswith("-"):
            pass
        case _:
            raise SettingsError((__doc__ or "").strip())
    bring_in(name or environments.active_name() or DEFAULT)
    return command


if __name__ == "__main__":
    try:
        command = prepare(sys.argv[1:])
    except MlstackError as error:
        sys.exit(str(error))
    # The same process goes on: signals, terminal and exit code are the module's own.
    os.execv(sys.executable, [sys.executable, *command])  # noqa: S606
