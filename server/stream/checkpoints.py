"""Checkpoints: a file that stores how far each shard has been answered."""

import logging
import threading
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.errors import MlstackError
from mlstack.files import write_atomically
from mlstack.streams.stream import Stream

log = logging.getLogger(__name__)


class CheckpointError(MlstackError):
    """The checkpoint file cannot be read."""


class _Shard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence_number: str | None = None
    """Sequence number of the last answered record; None if there is none."""
    ended: bool = False
    """Whether the shard is closed and completely answered."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stream: str
    created_at: datetime
    shards: dict[str, _Shard]


class Checkpoints:
    """The checkpoints of one stream, in a file; thread-safe.

    Checkpoints of an earlier stream of that name are void, see `void`. Raises CheckpointError if
    the file was edited or is broken.
    """

    def __init__(self, path: Path, stream: Stream) -> None:
        self._path, self._lock = path, threading.Lock()
        self._document = _Document(stream=stream.name, created_at=stream.created_at, shards={})
        found = _read(path)
        self.void: tuple[datetime, int] | None = None
        """If the file belongs to an earlier stream: its creation time and its number of
        checkpoints."""
        if found is None:
            return
        if (found.stream, found.created_at) == (stream.name, stream.created_at):
            self._document = found
        else:
            begun = [s for s in found.shards.values() if s.sequence_number or s.ended]
            self.void = (found.created_at, len(begun))

    @property
    def shard_ids(self) -> list[str]:
        """Ids of the shards that have a checkpoint."""
        with self._lock:
            return list(self._document.shards)

    def position(self, shard_id: str) -> str | None:
        """Return the sequence number of the last answered record, or None."""
        return self._shard(shard_id).sequence_number

    def ended(self, shard_id: str) -> bool:
        """Return whether the shard is closed and completely answered."""
        return self._shard(shard_id).ended

    def move(self, shard_id: str, sequence_number: str | None) -> None:
        """Record the last answered sequence number; None returns to the shard's start."""
        self._put(shard_id, _Shard(sequence_number=sequence_number))

    def end(self, shard_id: str) -> None:
        """Record that a closed shard is completely answered."""
        last = self._shard(shard_id).sequence_number
        self._put(shard_id, _Shard(sequence_number=last, ended=True))

    def forget(self, shard_id: str) -> None:
        """Remove a shard that the stream no longer has."""
        with self._lock:
            self._document.shards.pop(shard_id, None)
            self._write()

    def _shard(self, shard_id: str) -> _Shard:
        with self._lock:
            return self._document.shards.get(shard_id, _Shard())

    def _put(self, shard_id: str, shard: _Shard) -> None:
        with self._lock:
            self._document.shards[shard_id] = shard
            self._write()

    def _write(self) -> None:
        try:
            write_atomically(self._path, self._document.model_dump_json(indent=1).encode())
        except OSError:
            # Perhaps the disk is full. At worst, records are read again after a restart and
            # answered with the same ids; the next checkpoint also writes this one.
            log.exception("the checkpoints cannot be written to %s", self._path)


def _read(path: Path) -> _Document | None:
    try:
        return _Document.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is not a checkpoint file; if you remove it, the stream is read from its start "
            f"again: records are answered twice, predictions stored once ({error})"
        ) from error
