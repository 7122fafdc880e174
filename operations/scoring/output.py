"""Write the files of a scoring: predictions, and rows that do not fit.

They grow under other names, as CSV, and get their own when they are complete.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from mlstack.data.database import connect
from mlstack.data.sql import literal
from mlstack.data.table_files import PARQUET_SUFFIX
from mlstack.files import sync_names
from operations.scoring.progress import ScoringError

Row = Sequence[object]

_PRIVATE = 0o600


class Output:
    """The growing files, as a context manager that locks them against other processes.

    Args:
        path: The file of the predictions; Parquet if its name ends so, else CSV.
        columns: Its columns and their types in SQL.
        rejected: Columns of the rows that do not fit.

    Raises:
        ScoringError: another process writes them.
    """

    def __init__(self, path: Path, columns: Mapping[str, str], rejected: Sequence[str]) -> None:
        self.path = path
        self.rejected = path.with_name(f"{path.stem}.rejected.csv")
        self.progress = path.with_name(f"{path.name}.progress")
        self._columns = columns
        self._headers = (tuple(columns), tuple(rejected))
        self._parts = [each.with_name(f"{each.name}.part") for each in (path, self.rejected)]

    def __enter__(self) -> Self:
        flags = os.O_RDWR | os.O_CREAT
        with ExitStack() as opened:
            files = [
                opened.enter_context(os.fdopen(os.open(part, flags, _PRIVATE), "r+b"))
                for part in self._parts
            ]
            try:
                fcntl.flock(files[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ScoringError(f"another make score writes {self.path}") from error
            if not _is_still(files[0].fileno(), self._parts[0]):
                raise ScoringError(f"another make score has just written {self.path}")
            self._files = files
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()
        if not self.progress.exists():
            for part in self._parts:
                part.unlink(missing_ok=True)

    def resume(self, sizes: tuple[int, int]) -> None:
        """Cut off what was written after the last progress; begin empty files."""
        for file, size, header in zip(self._files, sizes, self._headers, strict=True):
            file.truncate(size)
            file.seek(size)
            if not size:
                file.write(_csv([header]))

    def append(self, scored: Iterable[Row], rejected: Iterable[Row]) -> tuple[int, int]:
        """Write rows to both files, durably; return the sizes of the files."""
        for file, rows in zip(self._files, (scored, rejected), strict=True):
            file.write(_csv(rows))
            file.flush()
            os.fsync(file.fileno())
        first, second = (file.tell() for file in self._files)
        return first, second

    def finish(self, *, rejects: bool) -> None:
        """Give the files their names; a repetition completes what was interrupted."""
        part, rejected = self._parts
        # An empty part was made again by a scoring that goes on after the real one got its name.
        if rejects and rejected.stat().st_size:
            rejected.replace(self.rejected)
        if part.stat().st_size:
            if self.path.suffix == PARQUET_SUFFIX:
                fresh = part.with_suffix(".new")
                self._convert(part, fresh)
                fresh.replace(self.path)
            else:
                part.replace(self.path)
        sync_names(self.path.parent)
        self.progress.unlink(missing_ok=True)

    def _convert(self, part: Path, target: Path) -> None:
        columns = ", ".join(f"{literal(n)}: {literal(kind)}" for n, kind in self._columns.items())
        options = "header=true, auto_detect=false, delim=',', quote='\"', escape='\"'"
        rows = f"read_csv({literal(str(part))}, columns={{{columns}}}, {options})"
        to = literal(str(target))
        connect().execute(f"COPY (SELECT * FROM {rows}) TO {to} (FORMAT parquet)")  # noqa: S608 - quoted by `literal`
        with target.open("rb") as file:
            os.fsync(file.fileno())


def _csv(rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _is_still(descriptor: int, path: Path) -> bool:
    """Return whether an open file still has its name; another process may have renamed it."""
    return path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
