"""Run Python with an environment loaded, as every make target does.

Usage: python -m mlstack.with_environment [--given NAMES] [--set-up] NAME ARGUMENTS...

NAMES are the variables on make's command line, separated by blanks; of the caller's others only
those in `mlstack.caller_environment` reach the process.
NAME is `embedded`, `local` or `cloud`; if empty, the active environment, else `local`.
ARGUMENTS are Python's own, such as `-m operations.aws.init_aws`. --set-up makes the environment
the active one first. Containers set their environment themselves and start modules directly.
"""

import os
import sys
from typing import NoReturn

from mlstack import environments
from mlstack.caller_environment import inherit
from mlstack.command_line import run, say
from mlstack.errors import SettingsError

DEFAULT = "local"


def prepare(arguments: list[str]) -> list[str]:
    """Load the environment and return the arguments to start Python with.

    Raises SettingsError if the environment does not exist or there is nothing to run.
    """
    load = environments.load
    given: list[str] = []
    match arguments:
        case ["--given", names, *arguments]:
            given = [name for name in names.split() if environments.may_be_given(name)]
    match arguments:
        case ["--set-up", name, *command] if command:
            load = environments.set_up
        case [name, *command] if command and not name.startswith("-"):
            pass
        case _:
            raise SettingsError((__doc__ or "").strip())
    inherited = inherit(os.environ, given)
    for sentence in inherited.ignored:
        say(sentence, sys.stderr)
    os.environ.clear()
    os.environ.update(inherited.variables)
    environments.require_access()
    load(name or environments.active_name() or DEFAULT)
    return command


def main() -> NoReturn:
    """Load the environment and replace this process, so that it gets the signals."""
    os.execv(sys.executable, [sys.executable, *prepare(sys.argv[1:])])  # noqa: S606 - no shell


if __name__ == "__main__":
    run(main)
