"""How far each shard of a stream has been answered: a file that outlives the process."""

import logging
import threading
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from mlstack.errors import MlstackError
from mlstack.files import write_atomically
from server.stream.records import Stream

log = logging.getLogger(__name__)


class CheckpointError(MlstackError):
    """The file is no checkpoint file."""


class _Shard(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sequence_number: str | None = None
    """Of the last record that is answered; None: none is."""
    ended: bool = False
    """The shard was closed, and all of it is answered."""


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stream: str
    created_at: datetime
    shards: dict[str, _Shard]


class Checkpoints:
    """The checkpoints of one stream, as it was made; safe from several threads.

    Args:
        path: The file.
        stream: The stream. Checkpoints of another one are void, see `of_another`.

    Raises:
        CheckpointError: the file was edited or is broken.
    """

    def __init__(self, path: Path, stream: Stream) -> None:
        self._path, self._lock = path, threading.Lock()
        self._document = _Document(stream=stream.name, created_at=stream.created_at, shards={})
        found = _read(path)
        self.of_another: tuple[datetime, int] | None = None
        """The file was of a stream made then, with so many checkpoints; None: it was not."""
        if found is None:
            return
        if (found.stream, found.created_at) == (stream.name, stream.created_at):
            self._document = found
        else:
            begun = [s for s in found.shards.values() if s.sequence_number or s.ended]
            self.of_another = (found.created_at, len(begun))

    @property
    def shard_ids(self) -> list[str]:
        """Shards that have a checkpoint."""
        with self._lock:
            return list(self._document.shards)

    def position(self, shard_id: str) -> str | None:
        """Sequence number of the last record that is answered; None: none is."""
        return self._shard(shard_id).sequence_number

    def ended(self, shard_id: str) -> bool:
        """Whether the shard was closed and all of it is answered."""
        return self._shard(shard_id).ended

    def move(self, shard_id: str, sequence_number: str | None) -> None:
        """Notes the last record that is answered; None: back to the shard's start."""
        self._put(shard_id, _Shard(sequence_number=sequence_number))

    def end(self, shard_id: str) -> None:
        """Notes that all of a closed shard is answered."""
        last = self._shard(shard_id).sequence_number
        self._put(shard_id, _Shard(sequence_number=last, ended=True))

    def forget(self, shard_id: str) -> None:
        """Removes a shard that the stream does not have any more."""
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
            # A full disk, say. Records are read again after a restart at worst, and answered
            # with the same ids; the next checkpoint writes this one too.
            log.exception("the checkpoints cannot be written to %s", self._path)


def _read(path: Path) -> _Document | None:
    try:
        return _Document.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise CheckpointError(
            f"{path} is no file of checkpoints: remove it, and the stream is read from its "
            f"start, answered twice but kept once ({error})"
        ) from error
