"""Keep the service's state; calculate in one thread, read MongoDB in another.

MongoDB may be down for hours, so the calculation never waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import (
    DECISION,
    MORE_DECISION,
    MORE_PROBABILITIES,
    PREDICTION,
    PREDICTION_ID,
    PROBABILITIES,
    RUN_ID,
    TARGET,
)
from mlstack.deployment.record import DeploymentState
from mlstack.errors import listing
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.mongo_database import plain_reason
from mlstack.prediction_log.prediction_store import PredictionStore
from mlstack.quality.drift_history import HistoryStore
from mlstack.quality.reference import ReferenceStore
from mlstack.settings import Settings
from monitoring.evidently_service.alert_history import fired_alerts
from monitoring.evidently_service.history import SPANS, History, moment_of
from monitoring.evidently_service.rows import Row, RowReader, Rows
from monitoring.evidently_service.watch import Watch, attempt
from monitoring.evidently_service.window import Window

if TYPE_CHECKING:
    from monitoring.evidently_service.calculation import Calculation, Calculator

log = logging.getLogger(__name__)

_MONGO_SECONDS = 5.0
_STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class State:
    """A snapshot of what the service knows; always replaced as a whole.

    Args:
        run_id: The deployed run; None if there is none.
        calculator: Holds the run's reference; None until it is loaded.
        calculation: Last calculation for this run; None if there is none yet.
        reason: Why there is no up-to-date calculation; empty if there is one.
        failing: Whether the reason is an error.
    """

    run_id: str | None = None
    calculator: "Calculator | None" = None
    calculation: "Calculation | None" = None
    reason: str = "the service has just started"
    failing: bool = False


class Monitor:
    """Periodically compares the window with the deployed run's reference.

    Raises SettingsError if MongoDB's address is invalid.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings, self._contract = settings, contract
        self._store = PredictionStore(settings.mongo_uri, contract, seconds=_MONGO_SECONDS)
        self._moments = HistoryStore(settings.mongo_uri, contract.name, _MONGO_SECONDS)
        self.history = History(self._moments)
        self.deployment = DeploymentState(settings.state_path)
        self.fired = Watch("fired alerts", lambda: fired_alerts(settings.prometheus_url, SPANS))
        models = ModelStore.of(settings)
        self._references = ReferenceStore(settings.state_path / "references", models)
        self._models = models
        self.window = Window(settings.monitor_window_rows)
        self.state = State()
        self.storage_fault = ""
        """Why MongoDB cannot be read; empty if it can."""
        self.failures = 0
        """Failed calculations since start."""
        self.taken = 0
        """Rows added since start, without repeated ones."""
        self.refused = 0
        """Rows rejected since start."""
        self._reader = RowReader(contract)
        self._counters_lock = threading.Lock()
        self._current_at = time.monotonic()
        self._restored = False
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._repeat, args=[step, failed], name=step.__name__, daemon=True
            )
            for step, failed in (
                (self._calculate, self._calculation_failed),
                (self._read_mongo, self._mongo_failed),
            )
        ]

    def start(self) -> None:
        """Start the threads and return."""
        for thread in self._threads:
            thread.start()
        self.fired.start(self._stopping)

    def stop(self) -> None:
        """Stop the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._store.close()
        self._moments.close()

    def take(self, document: Any) -> Rows:
        """Validate posted rows and add them to the window; raises as `RowReader.read`."""
        rows = self._reader.read(document)
        added = self.window.add(rows.accepted)
        with self._counters_lock:
            self.taken += added
            self.refused += rows.refused
        return rows

    @property
    def alive(self) -> bool:
        """Whether both threads are running."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def age_seconds(self) -> float:
        """Seconds since the calculation was last up to date, or else since the start.

        It is up to date when it is new or nothing has changed since.
        """
        return time.monotonic() - self._current_at

    def _repeat(self, step: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Call `step` once per period until the service stops; continue after failures."""
        while not self._stopping.is_set():
            started = time.monotonic()
            attempt(step, failed, step.__name__)
            elapsed = time.monotonic() - started
            self._stopping.wait(max(0.0, self._settings.monitor_period_seconds - elapsed))

    def _calculate(self) -> None:
        self.state = state = self._next_state()
        self._current_at = time.monotonic()
        if state.calculation is not None and state.calculator is not None:
            trained = state.calculator.reference.quality
            self.history.note(moment_of(state.calculation, trained, datetime.now(UTC)))

    def _next_state(self) -> State:
        # Importing Evidently takes seconds; the service accepts rows during that time.
        from monitoring.evidently_service.calculation import Calculator  # noqa: PLC0415 - see above

        record = self.deployment.record()
        # As in `ModelWatcher`, RUN_ID applies only until the first deployment.
        run_id = (record.run_id if record else self._settings.run_id) or None
        old = self.state
        if run_id != old.run_id or old.calculator is None:
            old = State(run_id, reason="the training rows are being loaded")
            self.state = old
        if run_id is None:
            return State(reason="no model is deployed; run: make deploy RUN_ID=...")
        calculator = old.calculator
        if calculator is None:
            self._models.load(run_id).follow_contract(self._contract)
            reference = self._references.load(run_id)
            calculator = Calculator(replace(reference, contract=self._contract))
            log.info("the reference is run %s", run_id)
            self.state = State(run_id, calculator, reason="the first calculation is running")
        window = self.window.snapshot()
        needed = min(self._settings.monitor_min_rows, self.window.size)
        if len(window.rows) < needed:
            reason = f"{len(window.rows)} of {needed} rows that the first calculation needs"
            return State(run_id, calculator, reason=reason)
        if old.calculation is not None and old.calculation.version == window.version:
            return State(run_id, calculator, old.calculation, reason="")
        calculation = calculator.calculate(window)
        if old.calculation is None or old.calculation.drift.drifted != calculation.drift.drifted:
            names = listing(calculation.drift.drifted_features)
            log.info("%s", f"drifted: {names}" if names else "no feature has drifted")
        return State(run_id, calculator, calculation, reason="")

    def _calculation_failed(self, reason: str) -> None:
        if self.state.reason != reason:
            log.error("%s", reason)
        self.failures += 1
        old = self.state
        self.state = State(old.run_id, old.calculator, old.calculation, reason, failing=True)

    def _read_mongo(self) -> None:
        """Fill the window after a start, read the outcomes of its rows, store new moments."""
        if not self._restored:
            newest = self._store.newest(self.window.size)
            self.window.prepend(_rows(newest, self._contract))
            self._restored = True
            log.info("%d rows are in the window", len(self.window))
        self.window.set_outcomes(self._store.outcomes(self.window.prediction_ids()))
        self.history.sync()
        self.storage_fault = ""

    def _mongo_failed(self, reason: str) -> None:
        if not self.storage_fault:
            log.warning("%s; posted rows are still accepted", reason)
        self.storage_fault = plain_reason(reason)


def _more(record: Mapping[Any, Any]) -> dict[str, Any]:
    fields = {PROBABILITIES: record.get(MORE_PROBABILITIES), DECISION: record.get(MORE_DECISION)}
    return {name: value for name, value in fields.items() if value is not None}


def _rows(found: pd.DataFrame, contract: Contract) -> list[Row]:
    """Convert stored predictions; integers in columns with gaps become floats."""
    records = found.astype(object).where(found.notna(), None).to_dict("records")
    return [
        Row(
            customer={name: record[name] for name in contract.feature_names},
            prediction=record[PREDICTION],
            target=None if record[TARGET] is None else contract.target.stored(record[TARGET]),
            prediction_id=record[PREDICTION_ID],
            run_id=record[RUN_ID],
            more=_more(record),
        )
        for record in records
    ]
