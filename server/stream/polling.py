"""The engine for one instance: GetRecords in a loop, a thread a shard, checkpoints in a file.

Starts within a second and needs nothing but Kinesis. A second instance with the same state
folder waits until the first one is gone, then goes on from its checkpoints.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from filelock import FileLock, Timeout

from server.stream.checkpoints import Checkpoints
from server.stream.patience import Complaint
from server.stream.records import Stream
from server.stream.shard_reader import ShardReader, Surroundings

if TYPE_CHECKING:
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_LIST_SECONDS = 5.0
_LOCK_SECONDS = 0.5


class PollingEngine:
    """Brings a stream's records to the processor, shard by shard.

    Args:
        surroundings: What its readers work with.
        stream_name: The stream.
        folder: Where checkpoints and the lock between instances are.
    """

    def __init__(self, surroundings: Surroundings, stream_name: str, folder: Path) -> None:
        self._around, self._name = surroundings, stream_name
        self._path = folder / f"{stream_name}.checkpoints.json"
        self._lock = FileLock(folder / f"{stream_name}.lock")
        self._complaint = Complaint(log, f"reading stream {stream_name}")
        self._stream: Stream | None = None
        self._checkpoints: Checkpoints | None = None
        self._readers: dict[str, ShardReader] = {}
        self._look_at = self._list_at = 0.0

    def run(self) -> None:
        """Reads until the order to stop.

        Raises:
            CheckpointError: the file of checkpoints was edited or is broken.
        """
        stop, heartbeat = self._around.stop, self._around.heartbeat
        if not self._acquire():
            return
        while not stop.ordered:
            try:
                self._turn()
                self._complaint.succeeded()
            except (BotoCoreError, ClientError) as error:
                self._complaint.failed(error)
            heartbeat.write()
            stop.wait(_TURN_SECONDS)
        for reader in self._readers.values():
            reader.join(stop.remaining)
        if not any(reader.is_alive() for reader in self._readers.values()):
            self._lock.release()

    def _acquire(self) -> bool:
        """Waits until no other instance reads; returns False when this one has to stop."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        said = False
        while not self._around.stop.ordered:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                if not said:
                    log.info("another instance reads stream %s: waiting for its end", self._name)
                    said = True
                self._around.heartbeat.write()
                self._around.stop.wait(_LOCK_SECONDS)
            else:
                return True
        return False

    def _turn(self) -> None:
        """Looks after the stream, and after the readers of its shards."""
        now = time.monotonic()
        # Children wait for it. One that failed is begun again in the usual time.
        ended = any(r.at_end and not r.is_alive() for r in self._readers.values())
        if now >= self._look_at or ended:
            self._look_at = now + _LOOK_SECONDS
            stream = self._around.identity.look()
            self._around.heartbeat.write()
            if stream is None or (stream != self._stream and not self._begin(stream)):
                return
        if self._checkpoints and (now >= self._list_at or ended):
            self._list_at = now + _LIST_SECONDS
            self._follow_shards(self._checkpoints)

    def _begin(self, stream: Stream) -> bool:
        """Begins with a stream; returns False while what was read of the old one is answered."""
        for reader in self._readers.values():
            reader.abandon()
        if any(reader.is_alive() for reader in self._readers.values()):
            self._look_at = 0.0
            return False
        self._readers.clear()
        self._checkpoints, self._list_at = Checkpoints(self._path, stream), 0.0
        self._stream = stream
        if self._checkpoints.of_another:
            made_at, count = self._checkpoints.of_another
            log.error(
                "stream %s was made anew: %d checkpoints are of the one made at %s, of which "
                "nothing more can be read; reading this one from TRIM_HORIZON",
                *(stream.name, count, made_at.isoformat()),
            )
            self._around.metrics.checkpoint_lost(count)
        log.info("reading stream %s, made at %s", stream.name, stream.created_at.isoformat())
        return True

    def _follow_shards(self, checkpoints: Checkpoints) -> None:
        assert self._stream is not None  # noqa: S101 - for the type checker: set with checkpoints
        listed = self._list_shards()
        for shard_id in [s for s, reader in self._readers.items() if not reader.is_alive()]:
            del self._readers[shard_id]  # ended, or failed and is begun again below
        for shard_id in set(checkpoints.shard_ids) - listed.keys():
            self._drop(shard_id, checkpoints)
        for shard_id, shard in listed.items():
            closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
            reader = self._readers.get(shard_id)
            if reader is None and _is_ready(shard, listed, checkpoints):
                reader = ShardReader(shard_id, self._stream, checkpoints, self._around)
                self._readers[shard_id] = reader
                log.info("reading %s of stream %s", shard_id, self._name)
                reader.start()
            if reader and closed:
                reader.close()

    def _drop(self, shard_id: str, checkpoints: Checkpoints) -> None:
        """A shard is not listed any more: its retention has passed since it was closed."""
        if shard_id in self._readers:
            self._readers[shard_id].abandon()
            return
        if not checkpoints.ended(shard_id):
            log.error(
                "%s of stream %s is gone before all of it was answered: its retention has passed",
                *(shard_id, self._name),
            )
            self._around.metrics.checkpoint_lost(1)
        checkpoints.forget(shard_id)

    def _list_shards(self) -> dict[str, "ShardTypeDef"]:
        pages = self._around.client.get_paginator("list_shards").paginate(StreamName=self._name)
        return {shard["ShardId"]: shard for page in pages for shard in page["Shards"]}


def _is_ready(
    shard: "ShardTypeDef", listed: Mapping[str, "ShardTypeDef"], checkpoints: Checkpoints
) -> bool:
    """Whether a shard is to be read: parents come before children, and each one once."""
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return not checkpoints.ended(shard["ShardId"]) and all(
        checkpoints.ended(parent) for parent in parents if parent and parent in listed
    )
