"""Run a module against this clone's own services, and never against another clone's.

Usage: python -m operations.embedded.job MODULE ARGUMENTS...
"""

import sys
from runpy import run_module

from mlstack import command_line
from mlstack.settings import Settings
from operations.embedded import layout
from operations.embedded.neighbours import require_own_ports
from operations.embedded.services import all_services
from operations.errors import StackError


def main() -> None:
    """Run the module that the command line names."""
    if len(sys.argv) == 1:
        raise StackError((__doc__ or "").strip())
    require_own_ports(layout.STACK, all_services(Settings.load()))
    sys.argv[:] = sys.argv[1:]
    # In this process, whose imports the module needs as well.
    run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    command_line.run(main)
