"""Engine for one instance: one GetRecords thread per shard, a checkpoint file.

It starts within a second and needs only Kinesis. A second instance with the same state folder waits
until the first one has ended, then continues from its checkpoints.
"""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError
from filelock import FileLock

from mlstack.locks import wait_for_lock
from mlstack.streams.reading import list_shards
from mlstack.streams.stream import Stream
from mlstack.waiting import Outage, Stopped
from server.stream.checkpoints import Checkpoints
from server.stream.shard_reader import EngineContext, ShardReader

if TYPE_CHECKING:
    from mypy_boto3_kinesis.type_defs import ShardTypeDef

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.2
_LOOK_SECONDS = 1.0
_LIST_SECONDS = 5.0


class PollingEngine:
    """Passes a stream's records to the processor, shard by shard.

    `folder` contains the checkpoints and the lock between instances.
    """

    def __init__(self, context: EngineContext, stream_name: str, folder: Path) -> None:
        self._context, self._name = context, stream_name
        self._path = folder / f"{stream_name}.checkpoints.json"
        self._lock_path = folder / f"{stream_name}.lock"
        self._outage = Outage(log, f"reading stream {stream_name}")
        self._stream: Stream | None = None
        self._checkpoints: Checkpoints | None = None
        self._readers: dict[str, ShardReader] = {}
        self._look_at = self._list_at = 0.0

    def run(self) -> None:
        """Read until the stop request.

        Raises CheckpointError if the checkpoint file was edited or is broken.
        """
        stop = self._context.stop
        try:
            lock = self._wait_for_others()
        except Stopped:
            return
        while not stop.requested:
            try:
                self._turn()
                self._outage.succeeded()
            except (BotoCoreError, ClientError) as error:
                self._outage.failed(error)
            self._context.liveness.renew()
            stop.wait(_TURN_SECONDS)
        for reader in self._readers.values():
            reader.join(stop.remaining)
        if not any(reader.is_alive() for reader in self._readers.values()):
            lock.release()

    def _wait_for_others(self) -> FileLock:
        """Wait until no other instance reads. Raises Stopped on a stop request."""
        logged = False

        def held() -> None:
            nonlocal logged
            if not logged:
                log.info("another instance reads stream %s: waiting for it to stop", self._name)
                logged = True
            self._context.liveness.renew()

        return wait_for_lock(self._lock_path, self._context.stop, held)

    def _turn(self) -> None:
        """Check the stream and the readers of its shards."""
        now = time.monotonic()
        # An ended shard's children wait for it. A reader that failed is replaced at the usual time.
        ended = any(r.at_end and not r.is_alive() for r in self._readers.values())
        if now >= self._look_at or ended:
            self._look_at = now + _LOOK_SECONDS
            stream = self._context.identity.look()
            self._context.liveness.renew()
            if stream is None or (stream != self._stream and not self._begin(stream)):
                return
        if self._stream and self._checkpoints and (now >= self._list_at or ended):
            self._list_at = now + _LIST_SECONDS
            self._follow_shards(self._stream, self._checkpoints)

    def _begin(self, stream: Stream) -> bool:
        """Start a stream; return False while records of the old one are being answered."""
        for reader in self._readers.values():
            reader.abandon()
        if any(reader.is_alive() for reader in self._readers.values()):
            self._look_at = 0.0
            return False
        self._readers.clear()
        self._checkpoints, self._list_at = Checkpoints(self._path, stream), 0.0
        self._stream = stream
        if self._checkpoints.void:
            created_at, count = self._checkpoints.void
            log.error(
                "stream %s was recreated: %d checkpoints belong to the one created at %s, which "
                "can no longer be read; reading the new one from TRIM_HORIZON",
                *(stream.name, count, created_at.isoformat()),
            )
            self._context.metrics.checkpoint_lost(count)
        log.info("reading stream %s, created at %s", stream.name, stream.created_at.isoformat())
        return True

    def _follow_shards(self, stream: Stream, checkpoints: Checkpoints) -> None:
        listed = list_shards(self._context.client, self._name)
        for shard_id in [s for s, reader in self._readers.items() if not reader.is_alive()]:
            del self._readers[shard_id]  # ended, or failed and replaced below
        for shard_id in set(checkpoints.shard_ids) - listed.keys():
            self._drop(shard_id, checkpoints)
        for shard_id, shard in listed.items():
            closed = "EndingSequenceNumber" in shard["SequenceNumberRange"]
            reader = self._readers.get(shard_id)
            if reader is None and _is_ready(shard, listed, checkpoints):
                reader = ShardReader(shard_id, stream, checkpoints, self._context)
                self._readers[shard_id] = reader
                log.info("reading %s of stream %s", shard_id, self._name)
                reader.start()
            if reader and closed:
                reader.close()

    def _drop(self, shard_id: str, checkpoints: Checkpoints) -> None:
        """Forget a shard that is no longer listed: its retention period is over."""
        if shard_id in self._readers:
            self._readers[shard_id].abandon()
            return
        if not checkpoints.ended(shard_id):
            log.error(
                "%s of stream %s expired before it was completely answered",
                *(shard_id, self._name),
            )
            self._context.metrics.checkpoint_lost()
        checkpoints.forget(shard_id)


def _is_ready(
    shard: "ShardTypeDef", listed: Mapping[str, "ShardTypeDef"], checkpoints: Checkpoints
) -> bool:
    """Whether a shard is to be read: parents before children, each shard once."""
    parents = (shard.get("ParentShardId"), shard.get("AdjacentParentShardId"))
    return not checkpoints.ended(shard["ShardId"]) and all(
        checkpoints.ended(parent) for parent in parents if parent and parent in listed
    )
