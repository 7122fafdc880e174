"""What every entry point shares: parse arguments, print lines, end with an exit code."""

import argparse
import logging
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

from mlstack.errors import MlstackError

_FAILED = 1
_INTERRUPTED = 130


def run(main: Callable[[], int | None], prefix: str = "") -> NoReturn:
    """Run an entry point and end the process with its exit code (None counts as 0).

    An `MlstackError` becomes its sentence on stderr and exit code 1, Ctrl-C exit code 130.
    Anything else is a defect and keeps its stack trace.

    Args:
        main: The entry point, without arguments.
        prefix: Put before the sentence of an error, such as `"serve_kinesis: "`.
    """
    try:
        code = main() or 0
    except MlstackError as error:
        say(f"{prefix}{error}", sys.stderr)
        code = _FAILED
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)


def say(line: object = "", stream: TextIO | None = None) -> None:
    """Print a line at once, to stdout unless another stream is given."""
    print(line, file=stream, flush=True)


def argument_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Make a parser whose help shows the command (`python -m MODULE`) and the description."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def log_to_stderr() -> None:
    """Send the logs of a service, from the level INFO on, to stderr."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s",
    )
