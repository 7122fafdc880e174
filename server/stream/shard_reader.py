"""Read one shard from its checkpoint to its end."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mlstack import failpoints
from mlstack.streams.reading import Batch, PositionLost, Record, ShardCursor
from mlstack.streams.stream import Stream, StreamIdentity
from mlstack.waiting import Retry, Stop, Stopped
from server.stream.checkpoints import Checkpoints
from server.stream.liveness import Liveness
from server.stream.metrics import StreamMetrics

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

READ_SECONDS = 0.25
"""Seconds between two reads of a shard. AWS allows five a second; one is left for users."""

READ_RECORDS = 2000
"""Records per read: at that pace the 2 MiB a second that AWS allows per shard, and few enough to
answer them before the server must stop."""

_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.25, 4.0


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What engines and readers share; the client must not retry."""

    client: "KinesisClient"
    identity: StreamIdentity
    process: Callable[[Stream, str, Sequence[Record]], bool]
    metrics: StreamMetrics
    stop: Stop
    liveness: Liveness


class ShardReader(threading.Thread):
    """Thread that reads a shard until its end, its stream's end, or a stop request."""

    def __init__(
        self, shard_id: str, stream: Stream, checkpoints: Checkpoints, context: EngineContext
    ) -> None:
        super().__init__(name=shard_id, daemon=True)
        self._shard_id, self._stream = shard_id, stream
        self._checkpoints, self._context = checkpoints, context
        self._abandoned = self._closed = False
        self.at_end = False
        """Whether the shard is closed and completely answered."""
        self._cursor = ShardCursor(
            *(context.client, stream.name, shard_id), checkpoints.position(shard_id)
        )
        self._retry = Retry(
            *(log, f"reading {shard_id}", BotoCoreError, ClientError),
            stop=context.stop,
            first=_FIRST_RETRY_SECONDS,
            longest=_LAST_RETRY_SECONDS,
        )

    def abandon(self) -> None:
        """End as soon as the current records are answered: the stream no longer exists."""
        self._abandoned = True

    def close(self) -> None:
        """End at the shard's end: it is closed."""
        self._closed = True

    def run(self) -> None:
        """See the class."""
        with (
            self._context.liveness.at_work(),
            self._context.metrics.reading(self._shard_id) as self._gauge,
        ):
            try:
                self._read_shard()
            except Stopped:
                return
            except Exception:
                # The engine starts another reader from the checkpoint.
                log.exception("reading %s failed; restarting the reader", self._shard_id)

    def _read_shard(self) -> None:
        while True:
            read_at = time.monotonic()
            # Checked before the read, which then includes everything put until the shard closed.
            closed = self._closed
            try:
                batch = self._retry(self._read)
            except PositionLost as error:
                self._rewind(error)
                continue
            self._answer(batch)
            if batch.ended or (closed and batch.is_empty_at_tip):
                self._confirm_stream()
                self._checkpoints.end(self._shard_id)
                self.at_end = True
                log.info("%s was read to its end", self._shard_id)
                return
            self._context.stop.sleep(max(0.0, read_at + READ_SECONDS - time.monotonic()))

    def _read(self) -> Batch:
        if self._abandoned:
            raise Stopped
        self._context.stop.beat()
        return self._cursor.read(READ_RECORDS)

    def _rewind(self, lost: PositionLost) -> None:
        """Forget the checkpoint, and read the shard from its start."""
        self._confirm_stream()
        log.error("the checkpoint is lost: %s; reading the shard from TRIM_HORIZON", lost)
        self._context.metrics.checkpoint_lost()
        self._checkpoints.move(self._shard_id, None)

    def _answer(self, batch: Batch) -> None:
        """Have records answered, and move the checkpoint."""
        if batch.records:
            self._gauge.in_hand(batch.records[0].arrived_at)
            self._confirm_stream()
            if not self._context.process(self._stream, self._shard_id, batch.records):
                raise Stopped
            self._checkpoints.move(self._shard_id, batch.records[-1].sequence_number)
            failpoints.reached("checkpointed")
        self._gauge.settled(batch.behind_seconds)

    def _confirm_stream(self) -> None:
        """End this thread if what was read belongs, or may belong, to another stream."""
        if not self._context.identity.confirm(self._stream):
            raise Stopped
