"""The engine for several instances: they share the shards by leases in DynamoDB.

The leases, their balance and the takeover from a dead instance are kcl-rs's, a port of the
Amazon Kinesis Client Library with its tables and rules. It starts slower than the polling
engine (half a minute), and needs DynamoDB and CloudWatch beside Kinesis.
"""

import logging
import os
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
from server.stream.iterators import at_record
from server.stream.patience import Backoff, Complaint
from server.stream.records import Record, Stream
from server.stream.shard_reader import READ_RECORDS, READ_SECONDS, Surroundings

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.2
_LOOK_SECONDS = 2.0
_SHARD_SYNC_SECONDS = 10
_SHUTDOWN_SECONDS = 4.0
_FIRST_RETRY_SECONDS = 0.25
_LAST_RETRY_SECONDS = 4.0
_LEASE_IS_GONE = "ShutdownException"


class KclEngine:
    """Brings the records of the shards that this instance holds to the processor.

    Args:
        surroundings: What its processors work with.
        stream_name: The stream.
    """

    def __init__(self, surroundings: Surroundings, stream_name: str) -> None:
        self._around, self._name = surroundings, stream_name

    def run(self) -> None:
        """Reads until the order to stop.

        Raises:
            RuntimeError: kcl-rs has ended by itself, or one of our processors has a defect.
        """
        while not self._around.stop.ordered:
            stream = self._around.identity.look()
            self._around.heartbeat.write()
            if stream is None:
                self._around.stop.wait(_LOOK_SECONDS)
            else:
                self._read(stream)

    def _read(self, stream: Stream) -> None:
        """Reads a stream until another one has its name, or the order to stop."""
        hands = _Hands()
        scheduler = Scheduler(
            stream_name=stream.name,
            # Also the name of the table of leases: a stream made anew has another one.
            application_name=f"mlstack-{stream.name}-{stream.created_at.timestamp():.0f}",
            record_processor_factory=lambda: _ShardProcessor(stream, self._around, hands),
            worker_identifier=f"{os.uname().nodename}-{os.getpid()}",
            region=self._around.client.meta.region_name,
            initial_position="TRIM_HORIZON",
            retrieval_mode="POLLING",
            max_records=READ_RECORDS,
            idle_time_between_reads_millis=int(READ_SECONDS * 1000),
            shard_sync_interval_millis=_SHARD_SYNC_SECONDS * 1000,
        )
        log.info("reading stream %s, made at %s", stream.name, stream.created_at.isoformat())
        thread = threading.Thread(target=scheduler.run, name="kcl", daemon=True)
        thread.start()
        self._oversee(stream, thread, hands)
        # From shutdown on kcl-rs takes no checkpoint: what is in hand has to be done before.
        hands.close()
        while hands.busy and not self._around.stop.overdue:
            self._around.heartbeat.write()
            hands.wait(_TURN_SECONDS)
        if not thread.is_alive() or hands.failed:
            raise RuntimeError("the engine has ended by itself; see the log above")
        shutdown = threading.Thread(target=scheduler.shutdown, name="kcl-shutdown", daemon=True)
        shutdown.start()
        shutdown.join(_SHUTDOWN_SECONDS)
        if shutdown.is_alive():
            # It waits for answers from AWS that do not come; the leases expire by themselves.
            log.warning("kcl-rs does not end in order; ending without it")

    def _oversee(self, stream: Stream, thread: threading.Thread, hands: "_Hands") -> None:
        look_at = 0.0
        while thread.is_alive() and not hands.failed and not self._around.stop.wait(_TURN_SECONDS):
            self._around.heartbeat.write()
            if time.monotonic() < look_at:
                continue
            look_at = time.monotonic() + _LOOK_SECONDS
            found = self._around.identity.look()
            if found is not None and found != stream:
                log.error(
                    "stream %s was made anew: nothing more can be read of the one made at %s, "
                    "and its checkpoints are void; reading this one from TRIM_HORIZON",
                    *(stream.name, stream.created_at.isoformat()),
                )
                self._around.metrics.checkpoint_lost(1)
                return


class _Hands:
    """Counts batches in hand; once it is closed no more are taken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.busy = 0
        self.closed = self.failed = False

    @contextmanager
    def take(self) -> Iterator[bool]:
        """Gives whether a batch may be dealt with, which is then in hand."""
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
        """Takes no more."""
        with self._changed:
            self.closed = True

    def wait(self, seconds: float) -> None:
        """Waits until nothing is in hand, so long at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self.busy, seconds)


class _ShardProcessor(RecordProcessorBase):
    """One shard's. Nothing may be raised into kcl-rs: it drops the batch for it."""

    def __init__(self, stream: Stream, surroundings: Surroundings, hands: _Hands) -> None:
        self._stream, self._around, self._hands = stream, surroundings, hands
        self._shard_id = ""
        self._behind = False
        """Something was not answered or not checkpointed: nothing after it may be."""
        self._ending = ExitStack()

    def initialize(self, initialize_input: InitializeInput) -> None:
        """The shard's lease was taken."""
        with self._defended():
            self._shard_id = initialize_input.shard_id or ""
            reading = self._around.metrics.reading(self._shard_id, sees_empty_reads=False)
            self._gauge = self._ending.enter_context(reading)
            position = initialize_input.sequence_number
            log.info("reading %s of stream %s", self._shard_id, self._stream.name)
            if position and position.isdigit():
                self._look_at(position)

    def process_records(self, process_records_input: ProcessRecordsInput) -> None:
        """Answers a batch and checkpoints it, or leaves it to whoever has the lease next."""
        with (
            self._defended(),
            self._hands.take() as taken,
            self._around.heartbeat.at_work(),
        ):
            if not taken:
                self._behind = True
            if not self._behind:
                self._answer(process_records_input)

    def shard_ended(self, shard_ended_input: ShardEndedInput) -> None:
        """Checkpoints the end of a closed shard, so that its children are read."""
        with self._defended(), self._around.heartbeat.at_work():
            if not self._behind:
                self._checkpoint(shard_ended_input.checkpointer, None)
            self._ending.close()

    def lease_lost(self, lease_lost_input: LeaseLostInput) -> None:  # noqa: ARG002 - kcl's
        """Another instance goes on with the shard."""
        with self._defended():
            self._ending.close()

    def shutdown_requested(self, shutdown_requested_input: ShutdownRequestedInput) -> None:  # noqa: ARG002 - kcl's
        """Every batch has checkpointed itself."""
        with self._defended():
            self._ending.close()

    @contextmanager
    def _defended(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            # The process ends for it, with the checkpoint where it was.
            self._behind = self._hands.failed = True
            log.exception("the processor of %s has a defect", self._shard_id)

    def _answer(self, batch: ProcessRecordsInput) -> None:
        records = [_record(record) for record in batch.records]
        if records:
            self._gauge.in_hand(records[0].arrived_at)
            if not self._around.identity.confirm(self._stream):
                self._behind = True
                return
            if not self._around.processor.process(self._stream, self._shard_id, records):
                self._behind = True
                return
            if not self._checkpoint(batch.checkpointer, batch.records[-1]):
                self._behind = True
                return
            failpoints.reached("checkpointed")
        self._gauge.settled((batch.millis_behind_latest or 0) / 1000)

    def _checkpoint(self, checkpointer: Checkpointer, record: KclRecord | None) -> bool:
        """Checkpoints a record, or the shard's end; returns False when that cannot be any more."""
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        complaint = Complaint(log, f"checkpointing {self._shard_id}")
        while True:
            try:
                if record is None:
                    checkpointer.checkpoint()
                else:
                    checkpointer.checkpoint(record.sequence_number, record.sub_sequence_number)
            except CheckpointError as error:
                if error.value == _LEASE_IS_GONE:
                    log.warning("%s is another instance's now", self._shard_id)
                    return False
                complaint.failed(error)
            else:
                complaint.succeeded()
                return True
            self._around.heartbeat.beat()
            if self._around.stop.wait(backoff.next()) or self._hands.closed:
                return False

    def _look_at(self, position: str) -> None:
        """Says so when the stream does not have the checkpoint's record any more.

        kcl-rs then goes on with the oldest record that there is.
        """
        client = self._around.client
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        complaint = Complaint(log, f"looking at the checkpoint of {self._shard_id}")
        iterator: str | None = None
        while not self._around.stop.ordered and not self._hands.closed:
            try:
                if iterator is None:
                    iterator = at_record(client, self._stream.name, self._shard_id, position)
                if iterator is None:
                    self._lose(position, "the stream does not know its record")
                    return
                answer = client.get_records(ShardIterator=iterator, Limit=1)
            except (BotoCoreError, ClientError) as error:
                complaint.failed(error)
                iterator = None
                self._around.stop.wait(backoff.next())
                continue
            iterator = answer.get("NextShardIterator")
            if answer["Records"] or not answer.get("MillisBehindLatest") or not iterator:
                first = answer["Records"][0]["SequenceNumber"] if answer["Records"] else None
                if first != position:
                    self._lose(position, "its record is no longer in the shard")
                return
            self._around.stop.wait(READ_SECONDS)

    def _lose(self, position: str, reason: str) -> None:
        log.error(
            "the checkpoint %s of %s is lost: %s; reading from the oldest record there is",
            *(position, self._shard_id, reason),
        )
        self._around.metrics.checkpoint_lost(1)


def _record(record: KclRecord) -> Record:
    """A record as the processor knows it.

    Several records that the Kinesis Producer Library put as one share its sequence number.
    """
    number = record.sequence_number or ""
    part = f".{record.sub_sequence_number}" if record.sub_sequence_number else ""
    arrived_at = record.approximate_arrival_timestamp or datetime.now(UTC)
    return Record(number + part, record.data, arrived_at)
