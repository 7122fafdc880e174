"""The log keeper: moves spooled entries to MongoDB, and predictions to the monitoring service.

One keeper runs per state folder: `python -m mlstack.prediction_log.keeper`.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from itertools import groupby
from pathlib import Path
from typing import Protocol

from mlstack import command_line, failpoints, heartbeat
from mlstack.contract.prediction_fields import SOURCE
from mlstack.locks import wait_for_lock
from mlstack.metrics_port import expose
from mlstack.prediction_log.damaged_segment import salvage
from mlstack.prediction_log.entry import PREDICTION, Document, Entry, UnreadableEntry
from mlstack.prediction_log.metrics import KeeperMetrics
from mlstack.prediction_log.mongo_database import StorageUnavailable
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.prediction_log.monitor_sink import MonitorSink, NoMonitor
from mlstack.prediction_log.prediction import BATCH
from mlstack.prediction_log.quarantine import FILE, Quarantine, QuarantineError, Rejected
from mlstack.prediction_log.segment import Segment, SegmentDamaged, SegmentInUse, SpoolError
from mlstack.prediction_log.segment_file import source_of
from mlstack.prediction_log.segment_view import backlogs
from mlstack.settings import Settings
from mlstack.waiting import Outage, Retry, Stop, Stopped, run_until_stopped

log = logging.getLogger(__name__)

_BATCH = 1000
# One large insert costs little more than a small one, and leaves the CPU to requests.
_GATHER_SECONDS = 0.2
_FIRST_RETRY_SECONDS, _LAST_RETRY_SECONDS = 0.5, 5.0
# An hour without MongoDB leaves hundreds of segments, and a process may open a thousand files. The
# limit is for each source, so that none waits for another's backlog.
_OPEN_SEGMENTS = 8
# The scoring of a table fills many segments at once, and must not slow down those of servers.
_OPEN_BATCH_SEGMENTS = 2
_ABANDON_SECONDS = 10.0


class Sink(Protocol):
    """Stores documents permanently: `MongoSink`, or memory in tests.

    Storing a document again must change nothing. Each call may raise StorageUnavailable.
    """

    def prepare(self) -> None:
        """Prepare the storage; called once before anything is stored."""

    def store_predictions(self, documents: Sequence[Document]) -> dict[int, str]:
        """Store all that can be stored; return the reasons of the others, by position."""

    def store_outcomes(self, documents: Sequence[Document]) -> dict[int, str]:
        """Store as `store_predictions` does."""


class Monitor(Protocol):
    """Receives stored predictions, on a best-effort basis."""

    def tell(self, predictions: Sequence[Document]) -> None:
        """Accept predictions; must return at once and never raise."""


class Keeper:
    """Takes segments that no running server uses, and stores their entries.

    An entry that can never be stored goes to quarantine and holds up no other one.
    """

    def __init__(
        self,
        spool: Path,
        sink: Sink,
        monitor: Monitor,
        quarantine: Quarantine,
        metrics: KeeperMetrics,
    ) -> None:
        self._folder, self._quarantine = spool, quarantine
        self._sink, self._monitor, self._metrics = sink, monitor, metrics
        self._segments: dict[Path, Segment] = {}
        self._outages: dict[Path, Outage] = {}
        self._counting = Outage(log, "counting the quarantine")
        self._prepared = False

    def run(self, stop: Stop) -> None:
        """Keep until the stop request."""
        retry = Retry(
            *(log, "storing predictions", StorageUnavailable, QuarantineError),
            stop=stop,
            first=_FIRST_RETRY_SECONDS,
            longest=_LAST_RETRY_SECONDS,
            # Only this process stores, so it logs a defect and goes on.
            defects=True,
        )
        try:
            while not stop.requested:
                if retry(self.turn, stop.beat) < _BATCH:
                    stop.wait(_GATHER_SECONDS)
        except Stopped:
            pass
        finally:
            for segment in self._segments.values():
                segment.abandon()

    def turn(self, beat: Callable[[], None] = lambda: None) -> int:
        """Store a batch of every segment; return the largest number of entries among them.

        Raises StorageUnavailable, or, after all others were stored, QuarantineError; what was not
        stored stays in the spool.
        """
        paths = Segment.paths(self._folder)
        # First, so that they are shown even if MongoDB is away.
        self._metrics.set_backlog(backlogs(paths))
        self._count_quarantine()
        if not self._prepared:
            self._sink.prepare()
            self._prepared = True
        most, failure = 0, None
        for path in paths:
            if path not in self._segments and not self._may_open(path):
                continue
            beat()
            try:
                most = max(most, self._keep(path))
            except SegmentInUse:
                continue  # its server is alive
            except QuarantineError as error:
                failure = error
            except SpoolError as error:
                if segment := self._segments.pop(path, None):
                    segment.abandon()
                self._outages.setdefault(path, Outage(log, f"draining {path.name}")).failed(error)
            else:
                self._outages.pop(path, None)
        if failure:
            raise failure
        return most

    def _count_quarantine(self) -> None:
        try:
            self._metrics.set_quarantine(self._quarantine.count())
        except QuarantineError as error:
            # Only what belongs there waits for it.
            self._counting.failed(error)
        else:
            self._counting.succeeded()

    def _may_open(self, path: Path) -> bool:
        source = source_of(path)
        most = _OPEN_BATCH_SEGMENTS if source == BATCH else _OPEN_SEGMENTS
        return sum(source_of(other) == source for other in self._segments) < most

    def _keep(self, path: Path) -> int:
        try:
            segment = self._segments.get(path)
            if segment is None:
                segment = self._segments[path] = Segment(path, existing=True)
                segment.check()
            entries = segment.read(_BATCH)
            self._store(entries, source_of(path))
            if entries:
                failpoints.reached("stored")
                segment.remove(entries)
            if not segment.pending:
                del self._segments[path]
                segment.close()
        except SegmentDamaged as error:
            return self._set_aside(path, error)
        return len(entries)

    def _set_aside(self, path: Path, error: SegmentDamaged) -> int:
        """Store what a damaged segment still holds, and put its file into quarantine."""
        if segment := self._segments.pop(path, None):
            segment.abandon()
        entries = list(salvage(path))
        for start in range(0, len(entries), _BATCH):
            self._store(entries[start : start + _BATCH], source_of(path))
        self._quarantine.add_file(path, str(error))
        self._metrics.count_quarantined(FILE, 1)
        log.error("%s; %d entries were saved, the file is in quarantine", error, len(entries))
        return len(entries)

    def _store(self, entries: Sequence[Entry], source: str) -> None:
        """Store entries; what can never be stored goes to quarantine."""
        try:
            self._store_all(entries, source)
        except (StorageUnavailable, QuarantineError):
            raise
        except Exception as error:
            # A defect that one entry causes must not hold up the others.
            if len(entries) > 1:
                for entry in entries:
                    self._store([entry], source)
                return
            log.exception("an entry cannot be stored")
            self._reject([Rejected(entries[0], f"defect: {error!r}")], source)

    def _store_all(self, entries: Sequence[Entry], source: str) -> None:
        # Outcomes first: a prediction that arrives with its outcome then needs no update.
        for kind, group in groupby(sorted(entries, key=_kind), key=_kind):
            readable, rejected = _parse(group)
            documents = [document for _, document in readable]
            if documents:
                store = self._sink.store_outcomes
                if kind == PREDICTION:
                    store = self._sink.store_predictions
                refused = store(documents)
                rejected += [Rejected(readable[n][0], why) for n, why in sorted(refused.items())]
                kept = [document for n, document in enumerate(documents) if n not in refused]
                self._metrics.count_stored(len(kept))
                if kind == PREDICTION:
                    # Monitoring watches what customers get, not tables that were scored.
                    self._monitor.tell([d for d in kept if d.get(SOURCE) != BATCH])
            if rejected:
                self._reject(rejected, source)

    def _reject(self, rejected: Sequence[Rejected], source: str) -> None:
        self._quarantine.add(rejected, source)
        self._metrics.count_quarantined(rejected[0].entry.kind, len(rejected))
        log.error(
            "%d entries can never be stored and are in quarantine (make quarantine): %s",
            *(len(rejected), rejected[0].reason),
        )


def _kind(entry: Entry) -> str:
    return entry.kind


def _parse(
    entries: Iterable[Entry],
) -> tuple[list[tuple[Entry, Document]], list[Rejected]]:
    """Parse entries; those that cannot be parsed are rejected."""
    readable, rejected = list[tuple[Entry, Document]](), list[Rejected]()
    for entry in entries:
        try:
            readable.append((entry, entry.document()))
        except UnreadableEntry as error:
            rejected.append(Rejected(entry, str(error)))
    return readable, rejected


def keep(settings: Settings, stop: Stop) -> None:
    """Run the keeper until the stop request.

    Raises SettingsError if the port is in use or the MongoDB URI can never work.
    """
    metrics = KeeperMetrics()
    if settings.deployment_record:
        metrics.watch_member(heartbeat.deployment_member(settings))
    with ExitStack() as stack:
        port = settings.keeper_metrics_port
        stack.enter_context(expose(metrics.registry, settings, port, "KEEPER_METRICS_PORT"))
        sink = MongoSink(settings.mongo_uri)
        stack.callback(sink.close)
        monitor: Monitor = NoMonitor()
        if settings.monitor_url:
            token = settings.feedback_token
            monitor = MonitorSink(settings.monitor_url, metrics.count_monitored, token)
            monitor.start()
            stack.callback(monitor.stop)
        others = Outage(log, f"another keeper has the spool {settings.spool_path}")
        lock = settings.spool_path / "keeper.lock"
        stack.enter_context(wait_for_lock(lock, stop, lambda: others.failed("waiting for its end")))
        quarantine = Quarantine(settings.quarantine_path)
        Keeper(settings.spool_path, sink, monitor, quarantine, metrics).run(stop)


def main() -> None:
    """Run the keeper."""
    command_line.log_to_stderr()
    settings = Settings.load()
    heartbeat_file = heartbeat.log_keeper(settings)
    stop = Stop(beat=heartbeat_file.beat)
    try:
        run_until_stopped(lambda: keep(settings, stop), stop, _ABANDON_SECONDS)
    finally:
        heartbeat_file.remove()


if __name__ == "__main__":
    command_line.run(main, "keeper: ")
