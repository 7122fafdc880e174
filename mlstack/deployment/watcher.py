"""The model that a server's worker uses: follows the deployment record while it runs."""

import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mlstack.contract import Contract
from mlstack.deployment.deployment import (
    STATEMENT_SECONDS,
    DeploymentState,
    Record,
    Statement,
    check_contract,
)
from mlstack.deployment.predictor import Keeps, Predictor
from mlstack.errors import MlstackError
from mlstack.model.model_store import ModelStore
from mlstack.settings import Settings

log = logging.getLogger(__name__)

_RETRY_SECONDS = 30.0
"""How long until a model that could not be loaded is tried again."""

_STOP_SECONDS = 2.0
"""How long the thread may take to end what it is doing."""


def model_store(settings: Settings) -> ModelStore:
    """The models that this state folder keeps."""
    return ModelStore(settings.state_path / "models")


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A model that could not be loaded; until a time it is not tried again."""

    run_id: str
    record: Record | None
    reason: str
    until: float

    def holds(self, run_id: str, record: Record | None) -> bool:
        """Whether it still does. Somebody who deploys the same model again wants it tried."""
        return (self.run_id, self.record) == (run_id, record) and time.monotonic() < self.until


class ModelWatcher:
    """Loads the deployed model and every one that replaces it, beside the one in use.

    Args:
        settings: State folder, contract and, when nothing is deployed, the run id.
        server: Name of the server, as deploys show it.
        prediction_log: Where what the models say is kept.
        on_swap: Told the run id of each model that comes into use; None: none is in use any more.
    """

    def __init__(
        self,
        settings: Settings,
        server: str,
        prediction_log: Keeps,
        on_swap: Callable[[str | None], None] = lambda _: None,
    ) -> None:
        self._settings = settings
        self._state = DeploymentState(settings.state_path)
        self._store = model_store(settings)
        self._server, self._log, self._on_swap = server, prediction_log, on_swap
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=target, name=f"model-watcher{target.__name__}", daemon=True)
            for target in (self._follow, self._state_regularly)
        ]
        self._refused: _Refusal | None = None
        self.predictor: Predictor | None = None
        """In use; read it once a request, so that an answer comes whole from one model."""
        self.reason = "the model is being loaded"
        """Why there is no predictor, or why it is not the one that was asked for."""

    @property
    def run_id(self) -> str | None:
        """Run id of the model in use."""
        predictor = self.predictor
        return predictor.model.run_id if predictor else None

    @property
    def _worker(self) -> str:
        # Asked for at every use: a watcher may be made before the worker is forked.
        return f"{os.uname().nodename}-{os.getpid()}"

    def start(self) -> None:
        """Starts to follow; returns at once."""
        for thread in self._threads:
            thread.start()

    def wait_for_first_look(self, seconds: float) -> None:
        """Waits until a first model is in use, or is known not to be there."""
        self._looked.wait(seconds)

    def stop(self) -> None:
        """Ends the threads and withdraws the worker's statement."""
        self._stopping.set()
        # A download may be under way; it ends with the process.
        for thread in self._threads:
            thread.join(_STOP_SECONDS)
        self._state.withdraw(self._server, self._worker)

    def _follow(self) -> None:
        while True:
            try:
                self._look()
            except Exception:
                # This thread is the only one that can ever make the worker ready again.
                log.exception("looking for the deployed model failed; trying again")
            self._looked.set()
            if self._stopping.wait(STATEMENT_SECONDS / 2):
                return

    def _state_regularly(self) -> None:
        """In a thread of its own: a worker that loads for long is no dead one."""
        while True:
            try:
                self._make_statement()
            except OSError as error:
                log.error("what is served cannot be stated: %s", error)  # noqa: TRY400
            if self._stopping.wait(STATEMENT_SECONDS / 2):
                return

    def _look(self) -> None:
        """Swaps in the wanted model when it is another one than the one in use."""
        try:
            record = self._state.record()
        except MlstackError as error:
            self.reason = str(error)
            return
        # RUN_ID is for a server that is run by hand, without a deploy; make start gives it to none.
        wanted = record.run_id if record else self._settings.run_id
        if not wanted:
            # Nor is one that this worker could follow and another could not.
            had_one = self.predictor is not None
            self.predictor, self._refused = None, None
            self.reason = "no model is deployed; run: make deploy RUN_ID=..."
            if had_one:
                self._on_swap(None)
                log.warning("serving no model any more: the deployment record is gone")
            return
        if wanted == self.run_id:
            self._refused, self.reason = None, ""
            return
        if self._refused and self._refused.holds(wanted, record):
            return
        try:
            model = self._store.load(wanted)
            check_contract(model, Contract.load(self._settings.contract_path))
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
        log.info("serving the model of run %s", wanted)

    def _refuse(self, run_id: str, record: Record | None, reason: str) -> None:
        self._refused = _Refusal(run_id, record, reason, time.monotonic() + _RETRY_SECONDS)
        self.reason = reason

    def _make_statement(self) -> None:
        refused = self._refused
        self._state.state(
            Statement(
                server=self._server,
                worker=self._worker,
                run_id=self.run_id,
                refused=refused.record if refused else None,
                reason=refused.reason if refused else None,
            )
        )
