"""Engine for several instances, which share the shards by leases in DynamoDB.

kcl-rs, a port of the Amazon Kinesis Client Library with its tables and rules, takes and balances
leases, and takes over those of a dead instance. It starts more slowly than the polling engine (half
a minute), and needs DynamoDB and CloudWatch in addition to Kinesis.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError
from kcl_rs import (
    Checkpointer,
    CheckpointError,
    InitializeInput,
    LeaseLostInput,
    ProcessRecordsInput,
    RecordProcessorBase,
    Scheduler,
    ShardEndedInput,
    ShutdownRequestedInput,
)
from kcl_rs import Record as KclRecord

from mlstack import failpoints
from mlstack.streams.reading import Batch, PositionLost, Record, ShardCursor
from mlstack.streams.stream import Stream
from mlstack.waiting import Retry, Stopped
from server.stream.shard_reader import READ_RECORDS, READ_SECONDS, EngineContext

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.2
_LOOK_SECONDS = 2.0
_SHARD_SYNC_SECONDS = 10
_SHUTDOWN_SECONDS = 4.0
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.25, 4.0
_LEASE_IS_GONE = "ShutdownException"


class KclEngine:
    """Passes the records of the shards that this instance holds to the processor.

    `worker` names the instance among all that share the stream. Leases of that name are its own:
    after a restart it goes on at once, instead of waiting for them to expire.
    """

    def __init__(self, context: EngineContext, worker: str) -> None:
        self._context, self._worker = context, worker

    def run(self) -> None:
        """Read until the stop request.

        Raises RuntimeError if kcl-rs ended by itself or one of our processors has a defect.
        """
        while not self._context.stop.requested:
            stream = self._context.identity.look()
            self._context.liveness.renew()
            if stream is None:
                self._context.stop.wait(_LOOK_SECONDS)
            else:
                self._read(stream)

    def _read(self, stream: Stream) -> None:
        """Read a stream until its name belongs to another one, or the stop request."""
        in_hand = _BatchesInHand()
        scheduler = Scheduler(
            stream_name=stream.name,
            # Also names the lease table: a recreated stream has its own.
            application_name=f"mlstack-{stream.name}-{stream.created_at.timestamp():.0f}",
            record_processor_factory=lambda: _ShardProcessor(stream, self._context, in_hand),
            worker_identifier=self._worker,
            region=self._context.client.meta.region_name,
            initial_position="TRIM_HORIZON",
            retrieval_mode="POLLING",
            max_records=READ_RECORDS,
            idle_time_between_reads_millis=int(READ_SECONDS * 1000),
            shard_sync_interval_millis=_SHARD_SYNC_SECONDS * 1000,
        )
        log.info("reading stream %s, created at %s", stream.name, stream.created_at.isoformat())
        thread = threading.Thread(target=scheduler.run, name="kcl", daemon=True)
        thread.start()
        self._oversee(stream, thread, in_hand)
        # kcl-rs accepts no checkpoints after shutdown, so running batches must finish first.
        in_hand.close()
        while in_hand.busy and not self._context.stop.overdue:
            self._context.liveness.renew()
            in_hand.wait(_TURN_SECONDS)
        if not thread.is_alive() or in_hand.failed:
            raise RuntimeError("the engine exited unexpectedly; see the log above")
        shutdown = threading.Thread(target=scheduler.shutdown, name="kcl-shutdown", daemon=True)
        shutdown.start()
        shutdown.join(_SHUTDOWN_SECONDS)
        if shutdown.is_alive():
            # It waits for responses from AWS that do not come. The leases expire by themselves.
            log.warning("kcl-rs did not shut down in time; exiting without it")

    def _oversee(self, stream: Stream, thread: threading.Thread, in_hand: "_BatchesInHand") -> None:
        look_at = 0.0
        while (
            thread.is_alive() and not in_hand.failed and not self._context.stop.wait(_TURN_SECONDS)
        ):
            self._context.liveness.renew()
            if time.monotonic() < look_at:
                continue
            look_at = time.monotonic() + _LOOK_SECONDS
            found = self._context.identity.look()
            if found is not None and found != stream:
                log.error(
                    "stream %s was recreated: the one created at %s can no longer be read, and its "
                    "checkpoints are void; reading the new one from TRIM_HORIZON",
                    *(stream.name, stream.created_at.isoformat()),
                )
                self._context.metrics.checkpoint_lost()
                return


class _BatchesInHand:
    """Counts running batches; accepts no more once it is closed."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.busy = 0
        self.closed = self.failed = False

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Register a batch; yield False if this is closed."""
        with self._changed:
            taken = not self.closed
            self.busy += taken
        try:
            yield taken
        finally:
            with self._changed:
                self.busy -= taken
                self._changed.notify_all()

    def close(self) -> None:
        """Accept no more batches."""
        with self._changed:
            self.closed = True

    def wait(self, seconds: float) -> None:
        """Wait until no batch is running, at most for the given time."""
        with self._changed:
            self._changed.wait_for(lambda: not self.busy, seconds)


class _ShardProcessor(RecordProcessorBase):
    """Processes one shard. Must not raise into kcl-rs, which would drop the batch."""

    def __init__(self, stream: Stream, context: EngineContext, in_hand: _BatchesInHand) -> None:
        self._stream, self._context, self._in_hand = stream, context, in_hand
        self._shard_id = ""
        self._behind = False
        """Whether a batch was not answered or checkpointed, so that no later one may be."""
        self._ending = ExitStack()

    def initialize(self, initialize_input: InitializeInput) -> None:
        """Start a shard whose lease was taken."""
        with self._defended():
            self._shard_id = initialize_input.shard_id or ""
            reading = self._context.metrics.reading(self._shard_id, sees_empty_reads=False)
            self._gauge = self._ending.enter_context(reading)
            position = initialize_input.sequence_number
            log.info("reading %s of stream %s", self._shard_id, self._stream.name)
            if position and position.isdigit():
                self._check_position(position)

    def process_records(self, process_records_input: ProcessRecordsInput) -> None:
        """Answer a batch and checkpoint it, or leave it to the next lease holder."""
        with (
            self._defended(),
            self._in_hand.take() as taken,
            self._context.liveness.at_work(),
        ):
            if not taken:
                self._behind = True
            if not self._behind:
                self._answer(process_records_input)

    def shard_ended(self, shard_ended_input: ShardEndedInput) -> None:
        """Checkpoint the end of a closed shard, so that its children are read."""
        with self._defended(), self._context.liveness.at_work():
            if not self._behind:
                self._checkpoint(shard_ended_input.checkpointer, None)
            self._ending.close()

    def lease_lost(self, lease_lost_input: LeaseLostInput) -> None:  # noqa: ARG002 - kcl's
        """Leave the shard to another instance."""
        with self._defended():
            self._ending.close()

    def shutdown_requested(self, shutdown_requested_input: ShutdownRequestedInput) -> None:  # noqa: ARG002 - kcl's
        """End; every batch has already been checkpointed."""
        with self._defended():
            self._ending.close()

    @contextmanager
    def _defended(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            # The process ends, and the checkpoint stays where it was.
            self._behind = self._in_hand.failed = True
            log.exception("unexpected error in the processor of %s", self._shard_id)

    def _answer(self, batch: ProcessRecordsInput) -> None:
        records = [_record(record) for record in batch.records]
        if records:
            self._gauge.in_hand(records[0].arrived_at)
            self._behind = not (
                self._context.identity.confirm(self._stream)
                and self._context.process(self._stream, self._shard_id, records)
                and self._checkpoint(batch.checkpointer, batch.records[-1])
            )
            if self._behind:
                return
            failpoints.reached("checkpointed")
        self._gauge.settled((batch.millis_behind_latest or 0) / 1000)

    def _checkpoint(self, checkpointer: Checkpointer, record: KclRecord | None) -> bool:
        """Checkpoint a record, or the shard's end if None; return whether it worked."""

        def checkpoint() -> bool:
            try:
                if record is None:
                    checkpointer.checkpoint()
                else:
                    checkpointer.checkpoint(record.sequence_number, record.sub_sequence_number)
            except CheckpointError as error:
                if error.value == _LEASE_IS_GONE:
                    log.warning("%s is now read by another instance", self._shard_id)
                    return False
                if self._in_hand.closed:
                    raise Stopped from error
                raise
            return True

        try:
            return self._retry(f"checkpointing {self._shard_id}", CheckpointError)(checkpoint)
        except Stopped:
            return False

    def _check_position(self, position: str) -> None:
        """Report if the stream no longer has the checkpoint's record.

        kcl-rs then continues with the oldest available record.
        """
        cursor = ShardCursor(self._context.client, self._stream.name, self._shard_id, position)

        def read() -> Batch:
            if self._in_hand.closed:
                raise Stopped
            return cursor.read(1)

        what = f"checking the checkpoint of {self._shard_id}"
        retry = self._retry(what, BotoCoreError, ClientError)
        try:
            while not cursor.is_verified:
                retry(read)
                if not cursor.is_verified:
                    self._context.stop.sleep(READ_SECONDS)
        except PositionLost as error:
            log.error("the checkpoint is lost: %s; reading from the oldest record", error)  # noqa: TRY400 - no defect
            self._context.metrics.checkpoint_lost()
        except Stopped:
            return

    def _retry(self, what: str, *on: type[Exception]) -> Retry:
        return Retry(
            log,
            what,
            *on,
            stop=self._context.stop,
            first=_FIRST_RETRY_SECONDS,
            longest=_LAST_RETRY_SECONDS,
        )


def _record(record: KclRecord) -> Record:
    """Convert a record.

    Several records that the Kinesis Producer Library put as one share its sequence number.
    """
    number = record.sequence_number or ""
    part = f".{record.sub_sequence_number}" if record.sub_sequence_number else ""
    arrived_at = record.approximate_arrival_timestamp or datetime.now(UTC)
    return Record(number + part, record.data, arrived_at)
