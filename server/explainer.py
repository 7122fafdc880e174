"""Explain predictions in a process of its own, which has XGBoost.

Imported in a worker, XGBoost would stop all of its requests for a second.
"""

import logging
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from numpy.typing import NDArray

from mlstack.contract.customer_schema import Customer
from mlstack.contract.target import Scored
from mlstack.errors import MlstackError
from mlstack.model.encoder import Matrix
from mlstack.model.explanation import Explanation, explain
from mlstack.model.model import Model
from mlstack.settings import ROOT

log = logging.getLogger(__name__)

PARAMETER = "explain"
"""Query parameter; 1 asks for an explanation."""

_MODULE = "mlstack.model.contributions"
# The process starts in one or two seconds, on a busy machine in many more; an explanation takes
# milliseconds. A server that stops waits for 30 s.
_SECONDS = 25.0


class NotExplained(MlstackError):
    """The process has ended or does not answer; the next request starts another one."""


class _Process(NamedTuple):
    process: subprocess.Popen[bytes]
    questions: Connection


class Explainer:
    """Explains one prediction after the other; thread-safe.

    Its process starts with the first explanation. It ends with this process, however this one ends,
    or when nobody has asked for minutes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._started: _Process | None = None

    def explain(self, model: Model, customer: Customer, said: Scored) -> Explanation:
        """Explain a model's prediction for a valid customer. Raises NotExplained."""

        def contribute(matrix: Matrix) -> NDArray[Any]:
            return self._ask((str(model.folder), model.run_id, matrix))

        return explain(model, customer, said, contribute)

    def _ask(self, question: tuple[str, str, Matrix]) -> NDArray[Any]:
        with self._lock:
            if self._started is not None and self._started.process.poll() is not None:
                self._stop()  # it has ended, perhaps because nobody asked for minutes
            if self._started is None:
                self._started = _start()
            questions = self._started.questions
            try:
                questions.send(question)
                if questions.poll(_SECONDS):
                    answer: NDArray[Any] = questions.recv()
                    return answer
                reason = f"it does not answer within {_SECONDS:g} s"
            except (EOFError, OSError):
                reason = "it has ended; its reason is in the log"
            self._stop()
            raise NotExplained(f"the process that explains predictions: {reason}")

    def _stop(self) -> None:
        if self._started is not None:
            self._started.questions.close()
            self._started.process.kill()
            self._started.process.wait()
            self._started = None


def asked_for(query: str) -> Sequence[str]:
    """Return every value of `PARAMETER` in a query string."""
    return parse_qs(query, keep_blank_values=True).get(PARAMETER, ()) if query else ()


def _start() -> _Process:
    ours, its = multiprocessing.Pipe()
    with its:
        process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(its.fileno())],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            # A signal to the server's group must not end it: the server still answers.
            process_group=0,
        )
    log.info("the process %s explains predictions", process.pid)
    return _Process(process, ours)
