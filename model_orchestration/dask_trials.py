"""What a Dask worker has of a search: the rows, and how to train a trial on them."""

from threading import Lock
from typing import Any

import xgboost
from dask.context import thread_state
from distributed import WorkerPlugin, get_worker

from mlstack.contract.target import Target
from model_orchestration.trainer import Trainer
from model_orchestration.trials import Rows, Trial

_THREADS = 1
"""Dask counts a task as the work of one core. The number does not change the models."""


def rows_name(client: str) -> str:
    """Return the name under which a Dask client registers the rows of its search."""
    return f"mlstack-rows-{client}"


class VersionsDiffer(Exception):
    """A worker would train other models than the search asks for."""


class SearchRows(WorkerPlugin):
    """The rows of a search; each worker gets them once, even if it joins later.

    The first trial of a worker bins them. The scheduler drops them when the search has ended; see
    `dask_node.ForgetRows`.
    """

    def __init__(self, train: Rows, validation: Rows, target: Target) -> None:
        self._parts = train, validation, target
        self._xgboost = xgboost.__version__
        self._prepare()

    def _prepare(self) -> None:
        self._lock = Lock()
        self._trainer: Trainer | None = None

    def trainer(self) -> Trainer:
        """Return the trainer of this process; raise VersionsDiffer if it has another XGBoost."""
        if xgboost.__version__ != self._xgboost:
            raise VersionsDiffer(
                f"XGBoost is {xgboost.__version__} on a worker, and {self._xgboost} in the search"
            )
        with self._lock:
            if self._trainer is None:
                self._trainer = Trainer(*self._parts, _THREADS)
            return self._trainer

    def __getstate__(self) -> dict[str, Any]:
        return {"_parts": self._parts, "_xgboost": self._xgboost}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._prepare()


def run_trial(rows: str, number: int, of: int, drawn: dict[str, Any], rival: float) -> Trial:
    """Train a trial on the rows that were registered under a name; runs on a worker."""
    worker = get_worker()
    key = thread_state.key

    def is_unwanted() -> bool:
        # Dask forgets a cancelled task, but its thread goes on.
        task = worker.state.tasks.get(key)
        return task is None or task.state == "cancelled"

    plugin = worker.plugins[rows]
    assert isinstance(plugin, SearchRows)  # noqa: S101 - nothing else has such a name
    return plugin.trainer().run_trial(number, of, drawn, rival, is_unwanted)
