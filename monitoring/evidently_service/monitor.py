"""The service's threads: one calculates, another one asks MongoDB; none of them is a request's.

MongoDB may hang or be away for hours: the calculation never waits for it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from mlstack.contract import Contract
from mlstack.data.customer_table import PREDICTION, TARGET
from mlstack.deployment.deployment import DeploymentState, check_contract
from mlstack.deployment.watcher import model_store
from mlstack.errors import MlstackError
from mlstack.prediction_log.prediction_store import PREDICTION_ID, RUN_ID, PredictionStore
from mlstack.quality.reference import ReferenceStore
from mlstack.settings import Settings
from monitoring.evidently_service.rows import Row, RowReader, Rows
from monitoring.evidently_service.window import Window

if TYPE_CHECKING:
    from monitoring.evidently_service.calculation import Calculation, Calculator

log = logging.getLogger(__name__)

_MONGO_SECONDS = 5.0
_STOP_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class State:
    """What the service knows; replaced as a whole.

    Args:
        run_id: The served run; None: none is deployed.
        calculator: Has the run's reference; None: there is none yet.
        calculation: The last one of this run; None: there is none yet.
        reason: Why there is none, or why it is not of now; empty: it is of now.
        failing: Whether the reason is a fault.
    """

    run_id: str | None = None
    calculator: "Calculator | None" = None
    calculation: "Calculation | None" = None
    reason: str = "the service has just started"
    failing: bool = False


class Monitor:
    """Looks at the window on a period.

    Args:
        settings: State folder, MongoDB's address, window and period.
        contract: What a customer is.

    Raises:
        SettingsError: MongoDB's address can never work.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings, self._contract = settings, contract
        self._store = PredictionStore(settings.mongo_uri, contract, seconds=_MONGO_SECONDS)
        self._deployment = DeploymentState(settings.state_path)
        models = model_store(settings)
        self._references = ReferenceStore(settings.state_path / "references", models)
        self._models = models
        self.window = Window(settings.monitor_window_rows)
        self.state = State()
        self.storage_fault = ""
        """Why MongoDB's rows or outcomes are not here; empty: they are."""
        self.failures = 0
        """Looks that failed since the start."""
        self.taken = 0
        """Rows taken since the start, repetitions not counted."""
        self.refused = 0
        """Rows refused since the start."""
        self._reader = RowReader(contract)
        self._counting = threading.Lock()
        self._current_at = time.monotonic()
        self._restored = False
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._repeat, args=[step, failed], name=step.__name__, daemon=True
            )
            for step, failed in (
                (self._look, self._look_failed),
                (self._ask_mongo, self._mongo_failed),
            )
        ]

    def start(self) -> None:
        """Starts the threads; returns at once."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends the threads."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._store.close()

    def take(self, document: Any) -> Rows:
        """Takes posted rows into the window; see `RowReader.read`.

        Raises:
            InvalidRequest: they are no array of rows.
        """
        rows = self._reader.read(document)
        added = self.window.add(rows.taken)
        with self._counting:
            self.taken += added
            self.refused += rows.refused
        return rows

    @property
    def alive(self) -> bool:
        """Whether its threads run."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def age_seconds(self) -> float:
        """Since when the calculation may be out of date.

        It is up to date when it was just made, or when a look found nothing that would change
        it; from the start on it ages until the first look that does not fail.
        """
        return time.monotonic() - self._current_at

    def _repeat(self, step: Callable[[], None], failed: Callable[[str], None]) -> None:
        """Takes a step each period; one that fails is told of, and the next one follows."""
        while not self._stopping.is_set():
            begun = time.monotonic()
            try:
                step()
            except MlstackError as error:
                failed(str(error))
            except Exception as error:
                # This thread is the only one that takes these steps: a defect must not end it.
                log.exception("%s failed; trying again", step.__name__)
                failed(f"{type(error).__name__}: the service's log has the details")
            spent = time.monotonic() - begun
            self._stopping.wait(max(0.0, self._settings.monitor_period_seconds - spent))

    def _look(self) -> None:
        """Brings the state up to date."""
        self.state = self._next()
        self._current_at = time.monotonic()

    def _next(self) -> State:
        # Evidently takes seconds to import; meanwhile rows are taken.
        from monitoring.evidently_service.calculation import Calculator  # noqa: PLC0415

        record = self._deployment.record()
        # As the servers do, see `ModelWatcher`: RUN_ID is for one that is run by hand.
        run_id = (record.run_id if record else self._settings.run_id) or None
        old = self.state
        if run_id != old.run_id or old.calculator is None:
            old = State(run_id, reason="the training rows are being loaded")
            self.state = old
        if run_id is None:
            return State(reason="no model is deployed; run: make deploy RUN_ID=...")
        calculator = old.calculator
        if calculator is None:
            check_contract(self._models.load(run_id), self._contract)
            calculator = Calculator(self._references.load(run_id))
            log.info("the reference is run %s", run_id)
            self.state = State(run_id, calculator, reason="the first calculation is under way")
        content = self.window.content()
        least = min(self._settings.monitor_min_rows, self.window.size)
        if len(content.rows) < least:
            reason = f"{len(content.rows)} of {least} rows that the first calculation needs"
            return State(run_id, calculator, reason=reason)
        if old.calculation is not None and old.calculation.version == content.version:
            return State(run_id, calculator, old.calculation, reason="")
        calculation = calculator.calculate(content)
        if old.calculation is None or old.calculation.drift.drifted != calculation.drift.drifted:
            names = ", ".join(calculation.drift.drifted_features)
            log.info("%s", f"drifted: {names}" if names else "no feature has drifted")
        return State(run_id, calculator, calculation, reason="")

    def _look_failed(self, reason: str) -> None:
        if self.state.reason != reason:
            log.error("%s", reason)
        self.failures += 1
        old = self.state
        self.state = State(old.run_id, old.calculator, old.calculation, reason, failing=True)

    def _ask_mongo(self) -> None:
        """Fills the window after a start, and learns what became of its customers."""
        if not self._restored:
            newest = self._store.newest(self.window.size)
            self.window.put_before(_rows(newest, self._contract))
            self._restored = True
            log.info("%d rows are in the window", len(self.window))
        self.window.learn(self._store.outcomes(self.window.prediction_ids()))
        self.storage_fault = ""

    def _mongo_failed(self, reason: str) -> None:
        if not self.storage_fault:
            log.warning("%s; rows that are posted are taken as ever", reason)
        # What follows tells of its driver's settings.
        self.storage_fault = reason.split(" (configured", 1)[0]


def _rows(found: pd.DataFrame, contract: Contract) -> list[Row]:
    """Stored predictions as rows; a whole number among missing ones is a float, and may stay so."""
    records = found.astype(object).where(found.notna(), None).to_dict("records")
    return [
        Row(
            customer={name: record[name] for name in contract.feature_names},
            prediction=record[PREDICTION],
            target=None if record[TARGET] is None else int(record[TARGET]),
            prediction_id=record[PREDICTION_ID],
            run_id=record[RUN_ID],
        )
        for record in records
    ]
