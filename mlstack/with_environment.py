"""Run Python with an environment loaded: every make target starts its module this way.

Usage: python -m mlstack.with_environment [--set-up] NAME ARGUMENTS...

NAME is `embedded`, `local` or `cloud`; empty: the environment that was last set up, else `local`.
ARGUMENTS are Python's own, such as `-m operations.aws.init_aws`. With --set-up the environment
becomes the active one first. In a container the environment is given, so modules start directly.
"""

import os
import sys
from typing import NoReturn

from mlstack import environments
from mlstack.command_line import run
from mlstack.errors import SettingsError

DEFAULT = "local"


def prepare(arguments: list[str]) -> list[str]:
    """Load the environment.

    Args:
        arguments: The command line after the module's name.

    Returns:
        The arguments to start Python with.

    Raises:
        SettingsError: The environment does not exist, or there is nothing to run.
    """
    load = environments.load
    match arguments:
        case ["--set-up", name, *command] if command:
            load = environments.set_up
        case [name, *command] if command and not name.startswith("-"):
            pass
        case _:
            raise SettingsError((__doc__ or "").strip())
    load(name or environments.active_name() or DEFAULT)
    return command


def main() -> NoReturn:
    """Load the environment and become the module, which gets signals and the terminal."""
    os.execv(sys.executable, [sys.executable, *prepare(sys.argv[1:])])  # noqa: S606 - no shell


if __name__ == "__main__":
    run(main)
