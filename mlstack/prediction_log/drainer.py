"""Move spooled entries to MongoDB, and forward predictions to monitoring."""

import json
import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from mlstack.prediction_log.mongo_database import StorageUnavailable
from mlstack.prediction_log.spool import Spool, SpoolError, SpoolOwnedError

log = logging.getLogger(__name__)

PREDICTION, OUTCOME = "prediction", "outcome"
"""Kinds of spooled entries."""

_BATCH = 500
_IDLE_SECONDS = 0.5
# One large insert costs little more than a small one and leaves the CPU to requests.
_GATHER_SECONDS = 0.2
_ADOPT_SECONDS = 5.0
_FIRST_RETRY_SECONDS = 0.5
_LAST_RETRY_SECONDS = 5.0
_REPORT_SECONDS = 60.0


class Sink(Protocol):
    """Stores entries permanently: `MongoSink`, or memory in tests.

    Storing an entry again must change nothing. Each call may raise StorageUnavailable.
    """

    def prepare(self) -> None:
        """Prepare the storage; called once before anything is stored."""

    def store_predictions(self, documents: Sequence[dict[str, Any]]) -> None:
        """Store all of them."""

    def store_outcomes(self, documents: Sequence[dict[str, Any]]) -> None:
        """Store all of them."""


class Monitor(Protocol):
    """Receives stored predictions, on a best-effort basis."""

    def tell(self, predictions: Sequence[dict[str, Any]]) -> None:
        """Accept predictions; must return at once and never raise."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The unstored entries; `oldest_seconds` is the oldest one's age, or 0 if none."""

    records: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class _Rest:
    """The pause of a spool that could not be drained; `until` is monotonic time."""

    seconds: float
    until: float


class Drainer:
    """Drains this process's spool and those of ended processes, in its own thread.

    The monitor receives predictions once they are stored. `observe` is called after each step with
    the backlog and the number of entries stored.
    """

    def __init__(
        self,
        spool: Spool,
        sink: Sink,
        monitor: Monitor,
        observe: Callable[[Backlog, int], None],
    ) -> None:
        self._own, self._adopted = spool, list[Spool]()
        self._unreadable = set[Path]()
        self._rests = dict[Path, _Rest]()
        self._sink, self._monitor, self._observe = sink, monitor, observe
        self._prepared = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drainer", daemon=True)
        self._retry_seconds = _FIRST_RETRY_SECONDS
        self._next_adoption = 0.0
        self._reported = 0.0

    def start(self) -> None:
        """Start draining; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; other processes drain the remaining entries."""
        self._stopping.set()
        self._thread.join()
        for spool in self._adopted:
            spool.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                stored = self._step()
                self._retry_seconds = _FIRST_RETRY_SECONDS
            except StorageUnavailable as error:
                stored = 0
                self._report(error)
                jitter = random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, no secret
                self._stopping.wait(self._retry_seconds * jitter)
                self._retry_seconds = min(2 * self._retry_seconds, _LAST_RETRY_SECONDS)
            except Exception:
                # Only this thread drains, so it logs a defect and continues.
                stored = 0
                log.exception("draining the prediction log failed; trying again")
                self._stopping.wait(_LAST_RETRY_SECONDS)
            if stored < _BATCH:
                self._own.wait_for_entries(_IDLE_SECONDS)
                self._stopping.wait(_GATHER_SECONDS)

    def _step(self) -> int:
        stored = 0
        try:
            # First, so that entries of dead processes are counted even if MongoDB is down.
            self._adopt()
            if not self._prepared:
                self._sink.prepare()
                self._prepared = True
            for spool in [self._own, *self._adopted]:
                stored += self._try(spool)
        finally:
            self._observe(self._backlog(), stored)
        return stored

    def _adopt(self) -> None:
        """Close empty adopted spools, and adopt those of ended processes."""
        for spool in [spool for spool in self._adopted if spool.pending == 0]:
            spool.close()
            self._adopted.remove(spool)
            self._rests.pop(spool.path, None)
        if time.monotonic() < self._next_adoption:
            return
        self._next_adoption = time.monotonic() + _ADOPT_SECONDS
        for path in Spool.paths(self._own.path.parent):
            try:
                self._adopted.append(Spool(path, adopted=True))
            except SpoolOwnedError:
                continue  # its process is alive, or another one has adopted it
            except SpoolError as error:
                if path not in self._unreadable:
                    self._unreadable.add(path)
                    log.error("%s; its entries cannot be stored until it can be read", error)  # noqa: TRY400 - the message says it all
            else:
                self._unreadable.discard(path)

    def _try(self, spool: Spool) -> int:
        """Drain a spool unless it is paused; its failure does not delay other spools."""
        rest = self._rests.get(spool.path)
        if rest and time.monotonic() < rest.until:
            return 0
        try:
            stored = self._drain(spool)
        except StorageUnavailable:
            raise
        except Exception as error:
            seconds = min(2 * rest.seconds, _LAST_RETRY_SECONDS) if rest else _FIRST_RETRY_SECONDS
            self._rests[spool.path] = _Rest(seconds, time.monotonic() + seconds)
            if isinstance(error, SpoolError):
                self._report(error)
            elif rest is None:
                log.exception("the spool %s cannot be drained; trying again", spool.path)
            return 0
        self._rests.pop(spool.path, None)
        return stored

    def _drain(self, spool: Spool) -> int:
        entries = spool.read(_BATCH)
        for kind, group in groupby(entries, key=lambda entry: entry.kind):
            documents = [json.loads(entry.body) for entry in group]
            if kind == PREDICTION:
                self._sink.store_predictions(documents)
                self._monitor.tell(documents)
            elif kind == OUTCOME:
                self._sink.store_outcomes(documents)
            else:
                raise SpoolError(f"{spool.path} has an entry of the unknown kind {kind!r}")
        if entries:
            spool.remove(entries)
        return len(entries)

    def _backlog(self) -> Backlog:
        spools = [self._own, *self._adopted]
        oldest = [at for spool in spools if (at := _oldest_at(spool)) is not None]
        age = max(0.0, time.time() - min(oldest)) if oldest else 0.0
        return Backlog(sum(spool.pending for spool in spools), age)

    def _report(self, error: Exception) -> None:
        """Log a failure to drain, at most once a minute."""
        if time.monotonic() - self._reported > _REPORT_SECONDS or not self._reported:
            self._reported = time.monotonic()
            log.warning("%s; predictions stay in the spool and are stored later", error)


def _oldest_at(spool: Spool) -> float | None:
    """Return when a spool's oldest entry was written; None if empty or unreadable.

    The drain step logs an unreadable spool.
    """
    try:
        return spool.oldest_at()
    except SpoolError:
        return None
