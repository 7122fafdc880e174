"""Record how far the scoring of a table has come, durably, beside its output."""

import hashlib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.data.table_files import parquet_paths
from mlstack.errors import MlstackError
from mlstack.files import file_sha256, write_atomically


class ScoringError(MlstackError):
    """A table cannot be scored here, or into this file."""


class Progress(BaseModel):
    """The rows that are in the output and in the prediction log.

    Args:
        table_sha256: Digest of the table.
        run_id: The run that was deployed when the scoring began.
        row: Number of the last row that was read.
        scored: Number of rows that were scored.
        rejected: Number of rows that do not fit the contract.
        sizes: Bytes of the output's files, which may hold more after a kill.
        complete: Whether every row is in them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table_sha256: str
    run_id: str
    row: int = 0
    scored: int = 0
    rejected: int = 0
    sizes: tuple[int, int] = (0, 0)
    complete: bool = False

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Read a file; return None if there is none. Raises ScoringError if it was changed."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise ScoringError(f"{path} was changed: remove it to score from the start") from error

    def save(self, path: Path) -> None:
        """Replace the file; it survives a power failure."""
        write_atomically(path, self.model_dump_json(indent=2).encode())


def table_digest(path: Path) -> str:
    """Return the digest of a file, or of a folder's Parquet files with their names."""
    if not path.is_dir():
        return file_sha256(path)
    parts = [f"{table_digest(file)} {name}\n" for name, file in parquet_paths(path).items()]
    return hashlib.sha256("".join(parts).encode(errors="surrogateescape")).hexdigest()


def prediction_id(table_sha256: str, run_id: str, row: int) -> str:
    """Return the prediction id of a row, which is the same whenever it is scored again."""
    name = f"{table_sha256}/{run_id}/{row}".encode()
    digest = hashlib.blake2b(name, digest_size=16).hexdigest()
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))
