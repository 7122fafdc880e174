"""Train trials in threads of this process."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, Lock
from typing import Any

from mlstack.contract.target import Target
from model_orchestration.core_share import CoreShare
from model_orchestration.trainer import Trainer
from model_orchestration.trials import Rows, Trial


class ThreadEngine:
    """Shares the cores of this machine among the trials.

    Trials differ in length, and a long one may hold up the next proposals. So one that is alone
    takes over the cores of those that have ended.
    """

    def __init__(self, train: Rows, validation: Rows, target: Target, share: CoreShare) -> None:
        self._share = share
        self._trainer = Trainer(train, validation, target, share.most_threads)
        self._pool = ThreadPoolExecutor(share.trials, thread_name_prefix="trial")
        self._ended = Event()
        self._training, self._lock = 0, Lock()

    def start(self, number: int, of: int, drawn: dict[str, Any], rival: float) -> Future[Trial]:
        """Queue a trial for the next free thread."""
        return self._pool.submit(self._run, number, of, drawn, rival)

    def close(self) -> None:
        """End the trials that are training, and drop those in the queue."""
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, number: int, of: int, drawn: dict[str, Any], rival: float) -> Trial:
        with self._lock:
            self._training += 1
        try:
            return self._trainer.run_trial(
                number, of, drawn, rival, self._ended.is_set, threads=self._threads
            )
        finally:
            with self._lock:
                self._training -= 1

    def _threads(self) -> int:
        return self._share.threads(self._training)
