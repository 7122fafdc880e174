"""Parse arguments, print lines and set exit codes for every entry point."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

from mlstack.caller_environment import name_of
from mlstack.errors import MlstackError

_FAILED = 1
_INTERRUPTED = 130


def run(main: Callable[[], int | None], prefix: str = "") -> NoReturn:
    """Run an entry point and end the process with its exit code (None counts as 0).

    An `MlstackError` is printed to stderr as one sentence, after `prefix`, and gives exit code 1.
    So does access to another user's file, such as make under sudo leaves behind. Ctrl-C gives 130.
    Any other exception is a defect and keeps its stack trace.
    """
    try:
        code = main() or 0
    except MlstackError as error:
        say(f"{prefix}{error}", sys.stderr)
        code = _FAILED
    except PermissionError as error:
        owner = _other_owner(error)
        if owner is None:
            raise
        say(f"{prefix}{error.filename} belongs to {owner}: {error.strerror}", sys.stderr)
        say("Run make as that user, or make the files yours with chown -R", sys.stderr)
        code = _FAILED
    except KeyboardInterrupt:
        code = _INTERRUPTED
    sys.exit(code)


def _other_owner(error: PermissionError) -> str | None:
    """Return who owns the file that was denied, or its folder; None if that is the caller."""
    path = Path(os.fsdecode(error.filename or ""))
    for each in (path, path.parent):
        with suppress(OSError):
            owner = each.stat().st_uid
            return None if owner == os.getuid() else name_of(owner)
    return None


def say(line: object = "", stream: TextIO | None = None) -> None:
    """Print a line to stdout, or to another stream, and flush it."""
    print(line, file=stream, flush=True)


def columns(rows: Sequence[Sequence[str]], align: str = "") -> list[str]:
    """Return each row as a line, in columns that are as wide as their widest cell.

    `align` has < (left) or > (right) for each column; all are left if it is empty.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    signs = align or "<" * len(widths)
    return [
        "  ".join(
            f"{cell:{at}{width}}" for cell, at, width in zip(row, signs, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def argument_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Make a parser whose help shows `python -m MODULE` and the description."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def log_to_stderr() -> None:
    """Log to stderr from level INFO."""
    logging.basicConfig(
        level=logging.INFO,
        stream=sys.stderr,
        format="%(asctime)s %(levelname)s %(name)s[%(process)d]: %(message)s",
    )
