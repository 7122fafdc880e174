"""Is it still the same stream? Emulators forget theirs, and people make one anew.

A new stream of the same name takes the old one's iterators and sequence numbers without a
word, at least on an emulator: what is read with them is skipped, or named wrongly.
"""

import logging
import threading
import time
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from server.stream.heartbeat import Heartbeat
from server.stream.patience import Backoff, Complaint, Stop
from server.stream.records import Stream

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
"""Least time between two looks: AWS allows an account 20 a second."""

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 2.0


class StreamIdentity:
    """Looks at a stream; threads that want to know at the same time share a look.

    Args:
        client: Of Kinesis.
        name: The stream's name.
        stop: Ends waits.
        heartbeat: Is given a sign by every wait.
    """

    def __init__(
        self, client: "KinesisClient", name: str, stop: Stop, heartbeat: Heartbeat
    ) -> None:
        self._client, self._name = client, name
        self._stop, self._heartbeat = stop, heartbeat
        self._lock = threading.Lock()
        self._looked_at = 0.0
        self._seen: Stream | None = None
        self._complaint = Complaint(log, f"looking at stream {name}")

    def look(self) -> Stream | None:
        """The stream as it is now; None: it cannot be read just now."""
        with self._lock:
            return self._look()

    def confirm(self, stream: Stream) -> bool:
        """Makes sure that what has been read up to now was this stream's.

        A stream does not come back once it is gone: if it is there now, it was there then.

        Returns:
            False: another one has its name now, or the server has to stop.
        """
        asked_at = time.monotonic()
        backoff = Backoff(_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS)
        while True:
            with self._lock:
                if self._looked_at < asked_at or self._seen is None:
                    self._stop.wait(self._looked_at + _LOOK_SECONDS - time.monotonic())
                    self._look()
                if self._seen is not None:
                    return self._seen == stream
            self._heartbeat.beat()
            if self._stop.wait(backoff.next()):
                return False

    def _look(self) -> Stream | None:
        self._looked_at, self._seen = time.monotonic(), None
        try:
            answer = self._client.describe_stream_summary(StreamName=self._name)
        except (BotoCoreError, ClientError) as error:
            self._complaint.failed(error)
            return None
        self._complaint.succeeded()
        summary = answer["StreamDescriptionSummary"]
        if summary["StreamStatus"] in ("ACTIVE", "UPDATING"):
            self._seen = Stream(self._name, summary["StreamCreationTimestamp"])
        return self._seen
