"""Puts customers on a stream and works out what their predictions will be called."""

import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from mlstack.contract.customer_schema import Customer
from mlstack.streams.record_ids import record_prediction_id
from simulation_business.pulse import Patience, Pulse

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

MOST_RECORDS = 500
"""Records that PutRecords takes; with a customer's few hundred bytes far below its 5 MiB."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Records that are on the stream.

    Args:
        prediction_ids: What their predictions are called.
        at: When they were acknowledged, monotonic seconds.
    """

    prediction_ids: tuple[str, ...]
    at: float


class RecordSender:
    """Puts records until each one of them is acknowledged.

    A call that breaks off may have put its records all the same: they are put again, so a
    customer may be predicted twice, under two ids. Kinesis knows no key that prevents it.

    Args:
        client: Of Kinesis, without retries of its own.
        stream: Name of the stream.
        pulse: Ends waits.
        give_up_seconds: How long Kinesis may be away; infinite: until the order to stop.
    """

    def __init__(
        self, client: "KinesisClient", stream: str, pulse: Pulse, give_up_seconds: float
    ) -> None:
        self._client, self._stream, self._pulse = client, stream, pulse
        self._patience = Patience(pulse, f"putting records on stream {stream}", give_up_seconds)
        self._created_at: datetime | None = None

    def put(self, customers: Sequence[Customer]) -> Iterator[Sent]:
        """Puts customers; those that are acknowledged together come back together.

        Ends early when the order to stop was given.

        Raises:
            Unavailable: Kinesis has been away for too long.
        """
        bodies = [json.dumps(customer).encode() for customer in customers]
        for start in range(0, len(bodies), MOST_RECORDS):
            waiting = bodies[start : start + MOST_RECORDS]
            while waiting and not self._pulse.stopping:
                self._pulse.beat()
                sent, waiting = self._put_once(waiting)
                if sent.prediction_ids:
                    yield sent

    def prediction_id(self, shard_id: str, sequence_number: str) -> str | None:
        """What the prediction of a record is called; None: the stream is not known just now."""
        if self._created_at is None:
            return None
        return record_prediction_id(self._stream, self._created_at, shard_id, sequence_number)

    def _put_once(self, bodies: list[bytes]) -> tuple[Sent, list[bytes]]:
        """Puts records with one call; returns those that are acknowledged and those that wait."""
        nothing = Sent((), 0.0)
        before = self._created_at or self._look()
        if before is None:
            return nothing, bodies
        try:
            answer = self._client.put_records(
                StreamName=self._stream,
                Records=[
                    {"Data": body, "PartitionKey": f"{time.time_ns()}-{number}"}
                    for number, body in enumerate(bodies)
                ],
            )
        except (BotoCoreError, ClientError) as error:
            self._created_at = None
            self._patience.again(error)
            return nothing, bodies
        at = time.monotonic()
        # Only a stream that is there before and after has surely taken them, and its time of
        # creation is part of their names.
        created_at = self._look()
        if created_at != before:
            if created_at is not None:
                log.warning("stream %s was made anew: putting a batch again", self._stream)
            return nothing, bodies
        ids, waiting, faults = list[str](), list[bytes](), set[str]()
        for body, record in zip(bodies, answer["Records"], strict=True):
            if "SequenceNumber" in record and "ShardId" in record:
                places = record["ShardId"], record["SequenceNumber"]
                ids.append(record_prediction_id(self._stream, created_at, *places))
            else:
                waiting.append(body)
                faults.add(record.get("ErrorCode", "no sequence number"))
        if waiting:
            self._patience.again(f"{len(waiting)} records not taken: {', '.join(sorted(faults))}")
        else:
            self._patience.succeeded()
        return Sent(tuple(ids), at), waiting

    def _look(self) -> datetime | None:
        """When the stream was made; None: the order to stop was given before it answered."""
        while not self._pulse.stopping:
            try:
                answer = self._client.describe_stream_summary(StreamName=self._stream)
            except (BotoCoreError, ClientError) as error:
                self._patience.again(error)
                continue
            summary = answer["StreamDescriptionSummary"]
            if summary["StreamStatus"] in {"ACTIVE", "UPDATING"}:
                self._created_at = summary["StreamCreationTimestamp"]
                return self._created_at
            self._patience.again(f"the stream is {summary['StreamStatus']}")
        return None
