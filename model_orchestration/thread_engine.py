"""Train trials in threads of this process."""

from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

from mlstack.contract.target import Target
from model_orchestration.core_share import CoreShare
from model_orchestration.trainer import Trainer
from model_orchestration.trials import Rows, Trial


class ThreadEngine:
    """Shares the cores of this machine among the trials."""

    def __init__(self, train: Rows, validation: Rows, target: Target, share: CoreShare) -> None:
        self._trainer = Trainer(train, validation, target, share.threads)
        self._pool = ThreadPoolExecutor(share.trials, thread_name_prefix="trial")
        self._ended = Event()

    def start(self, number: int, of: int, drawn: dict[str, Any], rival: float) -> Future[Trial]:
        """Queue a trial for the next free thread."""
        run = self._trainer.run_trial
        return self._pool.submit(run, number, of, drawn, rival, self._ended.is_set)

    def close(self) -> None:
        """End the trials that are training, and drop those in the queue."""
        self._ended.set()
        self._pool.shutdown(cancel_futures=True)
