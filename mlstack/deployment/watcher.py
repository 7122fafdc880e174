"""Follow the deployment record while a server's worker runs."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mlstack.allocator import give_back
from mlstack.contract import Contract
from mlstack.deployment.predictor import Predictor
from mlstack.deployment.record import STATEMENT_SECONDS, DeploymentState, Record, Statement
from mlstack.errors import MlstackError
from mlstack.model.mlflow_api import find_run_id
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.prediction import PredictionSink
from mlstack.settings import Settings

log = logging.getLogger(__name__)

_RETRY_SECONDS = 30.0
"""Seconds until a model that could not be loaded is tried again."""

_STOP_SECONDS = 2.0
"""Maximum time that `stop` waits for each thread."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A model that could not be loaded, and is not retried for a while."""

    run_id: str
    record: Record | None
    reason: str
    until: float

    def holds(self, run_id: str, record: Record | None) -> bool:
        """Whether to skip this model for now; a new record of it allows a retry."""
        return (self.run_id, self.record) == (run_id, record) and time.monotonic() < self.until


class ModelWatcher:
    """Loads each newly deployed model while the current one serves, then swaps them.

    Args:
        settings: State folder, contract and, if nothing is deployed, the run id.
        server: Name of the server, as shown by deploys.
        prediction_log: Where predictions are kept.
        on_swap: Called with the new model's run id, or None when no model is in use any more.
    """

    def __init__(
        self,
        settings: Settings,
        server: str,
        prediction_log: PredictionSink,
        on_swap: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._settings, self._choice = settings, settings.run_id
        self._state = DeploymentState(settings.state_path)
        self._store = ModelStore.of(settings)
        self._server, self._log, self._on_swap = server, prediction_log, on_swap
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"model-watcher{target.__name__}", daemon=True)
            for target in (self._follow, self._renew_statement)
        ]
        self._refused: _Refusal | None = None
        self.predictor: Predictor | None = None
        """The predictor in use. Read it once per request, so that one model makes the whole
        response."""
        self.reason = "the model is being loaded"
        """Why there is no predictor, or why it does not have the deployed model."""

    @property
    def run_id(self) -> str | None:
        """The run id of the model in use."""
        predictor = self.predictor
        return predictor.model.run_id if predictor else None

    @property
    def _worker(self) -> str:
        # Not stored: a watcher may be created before the worker is forked.
        return f"{os.uname().nodename}-{os.getpid()}"

    def start(self) -> None:
        """Start following the record; return at once."""
        # Before the record is read: a deploy that misses this statement has written its record.
        self._tell()
        for thread in self._threads:
            thread.start()

    def wait_for_first_look(self, seconds: float) -> None:
        """Wait until a first model is in use, or it is known that there is none."""
        self._looked.wait(seconds)

    def stop(self) -> None:
        """Stop the threads and remove the worker's statement."""
        self._stopping.set()
        # A running download ends with the process.
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._state.remove_statement(self._server, self._worker)

    def _follow(self) -> None:
        while True:
            try:
                self._look_at_record()
            except Exception:
                # Only this thread can make the worker ready again.
                log.exception("checking for the deployed model failed; trying again")
            self._looked.set()
            if self._stopping.wait(STATEMENT_SECONDS / 2):
                return

    def _renew_statement(self) -> None:
        """Renew the statement in its own thread, because loading a model may take long."""
        while not self._stopping.wait(STATEMENT_SECONDS / 2):
            self._tell()

    def _look_at_record(self) -> None:
        """Load the deployed model and swap it in, unless it is already in use."""
        try:
            record = self._state.record()
            wanted = record.run_id if record else self._find_choice()
        except MlstackError as error:
            self.reason = str(error)
            return
        if not wanted:
            # This also happens when a first deploy is undone because another worker could not load
            # the model.
            had_one = self.predictor is not None
            self.predictor, self._refused = None, None
            self.reason = "no model is deployed; run: make deploy RUN_ID=..."
            if had_one:
                self._on_swap(None)
                log.warning("no model is served any longer: the deployment record was removed")
            return
        if wanted == self.run_id:
            self._refused, self.reason = None, ""
            return
        if self._refused and self._refused.holds(wanted, record):
            return
        try:
            model = self._store.load(wanted)
            model.follow_contract(Contract.load(self._settings.contract_path))
        except MlstackError as error:
            log.error("run %s cannot be served: %s", wanted, error)  # noqa: TRY400 - a sentence
            self._refuse(wanted, record, str(error))
            return
        except Exception as error:
            reason = f"{type(error).__name__}: the server's log has the details"
            self._refuse(wanted, record, reason)
            raise
        self.predictor = Predictor(model, self._log)
        self._refused, self.reason = None, ""
        self._on_swap(wanted)
        # Loading takes several times the memory that a model keeps.
        give_back()
        log.info("serving the model of run %s", wanted)

    def _find_choice(self) -> str:
        """Return RUN_ID, for servers started by hand; servers started by make do not get it."""
        if self._choice:
            self._choice = find_run_id(self._choice)
        return self._choice

    def _refuse(self, run_id: str, record: Record | None, reason: str) -> None:
        self._refused = _Refusal(run_id, record, reason, time.monotonic() + _RETRY_SECONDS)
        self.reason = reason

    def _tell(self) -> None:
        """Write or renew the statement."""
        refused = self._refused
        statement = Statement(
            server=self._server,
            worker=self._worker,
            run_id=self.run_id,
            refused=refused.record if refused else None,
            reason=refused.reason if refused else None,
        )
        try:
            self._state.write_statement(statement)
        except OSError as error:
            log.error("the worker's status cannot be written: %s", error)  # noqa: TRY400 - a sentence
