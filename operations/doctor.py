"""Check whether this machine can run the active environment (`make doctor`).

Each line says ok or what to do. The exit code is 1 if a check fails.
"""

import os

from mlstack import command_line, environments
from operations.machine.findings import report
from operations.stack import runs_in_containers


def main() -> None:
    """Check this machine and print what was found."""
    environment = os.environ[environments.NAME_VARIABLE]
    settings = environments.load(environment)
    # The environments install different packages.
    if runs_in_containers(environment):
        from operations.containers import checks as container_checks  # noqa: PLC0415 - see above

        report(container_checks.examine(environment, settings))
    else:
        from operations.embedded import checks as embedded_checks  # noqa: PLC0415 - see above

        report(embedded_checks.examine(settings))


if __name__ == "__main__":
    command_line.run(main)
