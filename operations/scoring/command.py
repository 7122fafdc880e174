"""Score every row of a table through the deployed run (`make score DATA=... OUT=...`).

Usage: python -m operations.scoring.command DATA OUT
"""

import os

from mlstack import command_line, environments
from mlstack.settings import ROOT
from operations.errors import StackError
from operations.stack import runs_in_containers


def main() -> None:
    """Score the table that the command line names."""
    parser = command_line.argument_parser("operations.scoring.command", __doc__)
    parser.add_argument("table")
    parser.add_argument("out")
    arguments = parser.parse_args()
    if not (arguments.table and arguments.out):
        raise StackError("name both: make score DATA=/path/to/table.csv OUT=/path/to/scores.csv")
    table, out = ROOT / arguments.table, ROOT / arguments.out
    if not table.exists():
        raise StackError(f"DATA={arguments.table}: there is no such file")
    if not out.parent.is_dir():
        raise StackError(f"OUT={arguments.out}: there is no such folder")
    environment = os.environ[environments.NAME_VARIABLE]
    settings = environments.load(environment)
    # The environments install different packages.
    if runs_in_containers(environment):
        from operations.containers.scoring import score_in_container  # noqa: PLC0415 - see above

        score_in_container(environment, settings, table, out)
    else:
        from operations.scoring.score import score_and_tell  # noqa: PLC0415 - see above

        score_and_tell(settings, table, out, command_line.say)


if __name__ == "__main__":
    command_line.run(main)
