"""Reads one shard from its checkpoint to its end."""

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mlstack import failpoints
from server.stream.checkpoints import Checkpoints
from server.stream.heartbeat import Heartbeat
from server.stream.identity import StreamIdentity
from server.stream.iterators import at_record, at_start
from server.stream.metrics import StreamMetrics
from server.stream.patience import Backoff, Complaint, Stop
from server.stream.processor import Processes
from server.stream.records import Record, Stream

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient
    from mypy_boto3_kinesis.type_defs import GetRecordsOutputTypeDef

log = logging.getLogger(__name__)

READ_SECONDS = 0.25
"""Between two reads of a shard. AWS allows five a second: one is left for people."""

READ_RECORDS = 2000
"""Records of one read: at that pace as much as the 2 MiB a second that AWS lets out of a
shard, and soon enough answered when the server has to stop."""

_FIRST_RETRY_SECONDS = 0.25
_LAST_RETRY_SECONDS = 4.0

_BAD_ITERATOR = ("ExpiredIteratorException", "InvalidArgumentException")
_NO_NEWS = ("ExpiredIteratorException", "ProvisionedThroughputExceededException")
"""An iterator that aged, and a shard that others read too, are everyday matters."""


class _End(Exception):
    """This thread has to end."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every reader works with.

    Args:
        client: Of Kinesis, without retries of its own.
        identity: Of the stream.
        processor: Answers records.
        metrics: Where lag, age and lost checkpoints are noted.
        stop: The order to stop.
        heartbeat: Is given a sign at every read.
    """

    client: "KinesisClient"
    identity: StreamIdentity
    processor: Processes
    metrics: StreamMetrics
    stop: Stop
    heartbeat: Heartbeat


class ShardReader(threading.Thread):
    """A thread that ends when the shard does, its stream is gone, or the server has to stop.

    Args:
        shard_id: The shard.
        stream: Its stream.
        checkpoints: From where to read, and where to note how far it came.
        surroundings: What it works with.
    """

    def __init__(
        self, shard_id: str, stream: Stream, checkpoints: Checkpoints, surroundings: Surroundings
    ) -> None:
        super().__init__(name=shard_id, daemon=True)
        self._shard_id, self._stream = shard_id, stream
        self._checkpoints, self._around = checkpoints, surroundings
        self._abandoned = self._closed = False
        self.at_end = False
        """All of the shard is answered, and it is closed."""
        self._iterator: str | None = None
        self._unverified: str | None = None
        """The checkpoint, until its record was seen."""
        self._backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        self._read_at = 0.0
        self._complaint = Complaint(log, f"reading {shard_id}")

    def abandon(self) -> None:
        """The stream is gone: ends when what is in hand is answered."""
        self._abandoned = True

    def close(self) -> None:
        """The shard is closed: when it is read to its end there comes no more."""
        self._closed = True

    def run(self) -> None:
        """See the class."""
        with (
            self._around.heartbeat.at_work(),
            self._around.metrics.reading(self._shard_id) as self._gauge,
        ):
            try:
                self._read()
            except _End:
                return
            except Exception:
                # The engine starts another reader from the checkpoint.
                log.exception("reading %s failed; beginning again", self._shard_id)

    def _read(self) -> None:
        while not self._abandoned:
            self._around.heartbeat.beat()
            if self._around.stop.wait(max(0.0, self._read_at - time.monotonic())):
                return
            self._read_at = time.monotonic() + READ_SECONDS
            # Asked for before the read: what was put until the shard closed is then in it.
            closed = self._closed
            answer = self._get_records()
            if answer is None or not self._verify(answer):
                continue
            self._answer(answer)
            self._iterator = answer.get("NextShardIterator")
            if not self._iterator or (closed and _is_empty_at_tip(answer)):
                self._confirm_stream()
                self._checkpoints.end(self._shard_id)
                self.at_end = True
                log.info("%s is read to its end", self._shard_id)
                return

    def _get_records(self) -> "GetRecordsOutputTypeDef | None":
        """Reads once; returns None when it has to be tried again."""
        client = self._around.client
        try:
            self._iterator = self._iterator or self._open()
            answer = client.get_records(ShardIterator=self._iterator, Limit=READ_RECORDS)
        except (BotoCoreError, ClientError) as error:
            code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
            if code in _BAD_ITERATOR:
                self._iterator = None
            if code not in _NO_NEWS:
                self._complaint.failed(error)
            self._read_at = time.monotonic() + self._backoff.next()
            return None
        self._backoff.reset()
        self._complaint.succeeded()
        return answer

    def _open(self) -> str:
        """An iterator at the checkpoint's own record, which is then looked at, or at the start."""
        client, stream = self._around.client, self._stream.name
        position = self._checkpoints.position(self._shard_id)
        if position is not None:
            iterator = at_record(client, stream, self._shard_id, position)
            if iterator is not None:
                self._unverified = position
                return iterator
            self._lose("the stream does not know its record")
        self._unverified = None
        return at_start(client, stream, self._shard_id)

    def _verify(self, answer: "GetRecordsOutputTypeDef") -> bool:
        """Whether an answer may be used: the first one has to begin with the checkpoint's record.

        It is taken out, being answered already.
        """
        if self._unverified is None:
            return True
        records, following = answer["Records"], answer.get("NextShardIterator")
        if not records and following and not _is_empty_at_tip(answer):
            # Kinesis may need several reads to come to a record.
            self._iterator = following
            return False
        if records and records[0]["SequenceNumber"] == self._unverified:
            del records[0]
            self._unverified = None
            return True
        self._lose("its record is no longer in the shard: the retention has passed")
        self._iterator = None
        return False

    def _lose(self, reason: str) -> None:
        """Goes back to the shard's start."""
        self._confirm_stream()
        log.error(
            "the checkpoint %s of %s is lost: %s; reading the shard from TRIM_HORIZON",
            *(self._checkpoints.position(self._shard_id), self._shard_id, reason),
        )
        self._around.metrics.checkpoint_lost(1)
        self._checkpoints.move(self._shard_id, None)

    def _answer(self, answer: "GetRecordsOutputTypeDef") -> None:
        """Has what was read answered, and moves the checkpoint."""
        records = [
            Record(r["SequenceNumber"], r["Data"], r["ApproximateArrivalTimestamp"])
            for r in answer["Records"]
        ]
        if records:
            self._gauge.in_hand(records[0].arrived_at)
            self._confirm_stream()
            if not self._around.processor.process(self._stream, self._shard_id, records):
                raise _End
            self._checkpoints.move(self._shard_id, records[-1].sequence_number)
            failpoints.reached("checkpointed")
        self._gauge.settled(answer.get("MillisBehindLatest", 0) / 1000)

    def _confirm_stream(self) -> None:
        """Ends this thread when what was read is, or may be, another stream's."""
        if not self._around.identity.confirm(self._stream):
            raise _End


def _is_empty_at_tip(answer: "GetRecordsOutputTypeDef") -> bool:
    return not answer["Records"] and not answer.get("MillisBehindLatest")
