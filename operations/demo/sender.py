"""Send a window of customers in the background."""

import threading
from typing import Self

from mlstack.contract import Contract
from mlstack.settings import Settings
from mlstack.waiting import Stop, Stopped
from simulation_business.api_client import ApiClient
from simulation_business.business import Business
from simulation_business.options import Options

_GIVE_UP_SECONDS = 30.0
_SEED = 7


class Sender:
    """Sends as many customers as a window holds, using the simulator's code.

    Every method re-raises the exception that made sending fail. `drift` names a drift of the
    contract; None means ordinary customers.
    """

    def __init__(self, settings: Settings, contract: Contract, drift: str | None) -> None:
        self.count = settings.monitor_window_rows
        rate = self.count * 60 / settings.simulation_seconds
        options = Options(once=True, rate=rate, drift=drift, seed=_SEED)
        self._customers = Business(contract, settings, options).average_batch()
        self._stop = Stop()
        self._client = ApiClient(settings, contract, self._stop, _GIVE_UP_SECONDS)
        self._failure: Exception | None = None
        self._first = ""
        self._thread = threading.Thread(target=self._send, name="sender", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.request()
        self._thread.join()
        self._client.close()

    def first(self) -> str:
        """Return the first prediction id; empty if there is none yet."""
        self._raise_failure()
        return self._first

    def is_done(self) -> bool:
        """Return whether all customers were answered."""
        self._raise_failure()
        return not self._thread.is_alive()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            for customer in self._customers:
                answer = self._client.predict(customer)
                self._first = self._first or answer.prediction_id
        except Stopped:
            return
        except Exception as error:  # noqa: BLE001 - re-raised in the calling thread
            self._failure = error
