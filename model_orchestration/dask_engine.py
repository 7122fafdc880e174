"""Train the trials of a search on a Dask cluster.

Everything that a search keeps is sent to MLflow by the search's own process. So a worker may die at
any moment: its trial begins again elsewhere, and no half-finished run is left in MLflow.
"""

import logging
import time
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Final

from distributed import Client, Future, KilledWorker, wait
from distributed.protocol.pickle import dumps

from mlstack.contract.target import Target
from mlstack.errors import MlstackError
from model_orchestration.dask_cluster import Cluster
from model_orchestration.dask_trials import SearchRows, rows_name, run_trial
from model_orchestration.trials import Rows, Trial

_CONNECT_SECONDS: Final = 30
_ANSWER_SECONDS: Final = 30
"""A scheduler that is silent for so long counts as gone."""
_TRANSFER_SECONDS: Final = 300
"""Time limit for sending the rows to every worker, and for fetching a model."""
_LOOK_SECONDS: Final = 2
_WORKERLESS_SECONDS: Final = 120
"""How long a search waits for a worker. Supervised ones that died are back within seconds."""
_CLOSE_SECONDS: Final = 5

log = logging.getLogger(__name__)


class ClusterError(MlstackError):
    """The Dask cluster of a search cannot be reached, or does not train."""


class DaskEngine:
    """Trains each trial as a task of a Dask cluster.

    Raises:
        SettingsError: there is no certificate.
        ClusterError: the scheduler cannot be reached, or refuses the certificate.
    """

    def __init__(self, train: Rows, validation: Rows, target: Target, cluster: Cluster) -> None:
        self._address = cluster.address
        security = cluster.security()
        try:
            self._client = Client(
                cluster.address, security=security, timeout=_CONNECT_SECONDS, set_as_default=False
            )
        except OSError as error:
            raise ClusterError(
                f"the Dask scheduler {self._address} cannot be reached ({error}): start it, and "
                "check that DASK_CERTIFICATE is of the same authority as its own"
            ) from error
        self._had_workers = time.monotonic()
        self._rows = rows_name(self._client.id)
        try:
            # The scheduler also gives them to workers that join later.
            self._ask(
                _TRANSFER_SECONDS,
                "register_worker_plugin",
                plugin=dumps(SearchRows(train, validation, target)),
                name=self._rows,
                idempotent=False,
            )
        except BaseException:
            self.close()
            raise

    def start(self, number: int, of: int, drawn: dict[str, Any], rival: float) -> "_Task":
        """Queue a trial for the next free worker."""
        key = f"trial-{number}-{self._client.id}"
        arguments = (self._rows, number, of, drawn, rival)
        return _Task(self, number, self._client.submit(run_trial, *arguments, key=key))

    def wait(self, number: int, future: Future[Trial]) -> Trial:
        """Wait for a trial; raise ClusterError if the cluster will not finish it."""
        try:
            while not self._is_done(future):
                self._require_workers()
            trial: Trial = future.result(_TRANSFER_SECONDS)
        except ClusterError:
            raise
        except (CancelledError, OSError) as error:
            raise self._lost() from error
        except KilledWorker as error:
            raise ClusterError(
                f"trial {number} began on {error.allowed_failures + 1} Dask workers, and all of "
                "them died: give them more memory, or look into their logs"
            ) from error
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ClusterError(
                f"a Dask worker cannot train trial {number} ({reason}): do all workers have the "
                "code and packages of this release?"
            ) from error
        return trial

    def close(self) -> None:
        """Cancel the trials, and let the cluster forget the search."""
        try:
            self._client.close(_CLOSE_SECONDS)
        except OSError as error:  # a time limit too
            log.warning("the Dask scheduler %s was not told of the end: %s", self._address, error)

    def _is_done(self, future: Future[Trial]) -> bool:
        try:
            with self._client.as_current():
                wait([future], timeout=_LOOK_SECONDS)
        except TimeoutError:
            return False
        return True

    def _require_workers(self) -> None:
        """Raise ClusterError if the scheduler is gone, or has had no workers for long."""
        if self._ask(_ANSWER_SECONDS, "identity", n_workers=0)["n_workers"]:
            self._had_workers = time.monotonic()
        elif time.monotonic() > self._had_workers + _WORKERLESS_SECONDS:
            raise ClusterError(
                f"the Dask scheduler {self._address} has had no worker for {_WORKERLESS_SECONDS} "
                "s: start one, then train again"
            )

    def _ask(self, seconds: float, what: str, **arguments: Any) -> Any:
        """Call the scheduler, which may have stopped to answer."""
        call = getattr(self._client.scheduler, what)
        try:
            return self._client.sync(call, callback_timeout=seconds, **arguments)
        except OSError as error:
            raise self._lost() from error

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"the Dask scheduler {self._address} is gone, or was restarted, during the search: "
            "start it, then train again"
        )


@dataclass(frozen=True, slots=True)
class _Task:
    """A trial on the cluster."""

    engine: DaskEngine
    number: int
    future: Future[Trial]

    def result(self) -> Trial:
        """Wait for the trial; raise ClusterError if the cluster will not finish it."""
        return self.engine.wait(self.number, self.future)
