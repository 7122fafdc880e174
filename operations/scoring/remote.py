"""Score a table from standard input in a container, and return the results on standard output.

Usage: python -m operations.scoring.remote NAME SUFFIX <TABLE >RESULTS

NAME is the table's digest. A scoring that was killed goes on, because its files stay in the state
folder until their results are taken. TABLE is a file or a folder's files packed as one; RESULTS is
an archive (tar) of the predictions, with the given suffix, and of the rows that do not fit.
"""

import shutil
import sys
import tarfile
from pathlib import Path
from typing import IO

from mlstack import command_line
from mlstack.data.table_files import parquet_files, table_format
from mlstack.files import private_folder, sync_names
from mlstack.settings import Settings
from operations.scoring.score import score_and_tell

RESULT = "scores"
"""Name of the predictions' file in RESULTS, without its suffix."""

_FOLDER = "scoring"
_HEAD = 1024


def score_stream(settings: Settings, name: str, suffix: str, table: IO[bytes]) -> Path:
    """Score a table; return the folder with its results.

    Raises as `score_and_tell`.
    """
    folder = settings.state_path / _FOLDER / name
    private_folder(folder)
    received = folder / "table"
    if not received.exists():
        _receive(table, received)
    out = folder / f"{RESULT}{suffix}"
    # It exists if somebody interrupted the transfer of the results.
    if not out.exists():
        score_and_tell(settings, received, out, _say)
    return folder


def _receive(table: IO[bytes], target: Path) -> None:
    fresh = target.with_suffix(".new")
    with fresh.open("wb") as file:
        shutil.copyfileobj(table, file)
    with fresh.open("rb") as file:
        packed = table_format(file.read(_HEAD)).suffix.endswith(".tar")
    if packed:
        unpacked = target.with_suffix(".unpacked")
        shutil.rmtree(unpacked, ignore_errors=True)
        for name, content in parquet_files(fresh.read_bytes()).items():
            (unpacked / name).parent.mkdir(parents=True, exist_ok=True)
            (unpacked / name).write_bytes(content)
        fresh.unlink()
        fresh = unpacked
    fresh.rename(target)
    sync_names(target.parent)


def _send(folder: Path, results: IO[bytes]) -> None:
    with tarfile.open(fileobj=results, mode="w|") as archive:
        for path in sorted(folder.glob(f"{RESULT}.*")):
            archive.add(path, path.name)
    results.flush()


def _say(sentence: object) -> None:
    command_line.say(sentence, sys.stderr)


def main() -> None:
    """Score the table on standard input."""
    name, suffix = sys.argv[1:]
    folder = score_stream(Settings.load(), name, suffix, sys.stdin.buffer)
    _send(folder, sys.stdout.buffer)
    shutil.rmtree(folder)


if __name__ == "__main__":
    command_line.run(main, "score: ")
