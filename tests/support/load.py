"""Requests at a steady rate while something else happens."""

import threading
import time
from dataclasses import dataclass, field
from typing import Any, Self

import requests

from tests.support.waiting import wait_until

_THREADS = 8


@dataclass
class Sent:
    """One request: when it was begun, by the monotonic clock, and what came back."""

    begun: float
    status: int
    run_id: str | None
    detail: str = ""
    prediction_id: str = ""


@dataclass
class Load:
    """Client that sends one customer again and again until its block ends.

    Args:
        url: Address of the requests.
        customer: Their body.
        rate: Requests a second.
    """

    url: str
    customer: dict[str, Any]
    rate: float
    sent: list[Sent] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(number,)) for number in range(_THREADS)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Sent]:
        return [each for each in self.sent if each.status != 200]

    def wait_for_requests_after(self, moment: float) -> None:
        """Wait until a request that was begun later has been answered."""
        wait_until(lambda: any(s.begun > moment for s in self.sent[-_THREADS:]), "requests go on")

    def _send(self, number: int) -> None:
        period = _THREADS / self.rate
        due = time.monotonic() + number / self.rate
        with requests.Session() as session:
            while not self._stop.wait(max(0.0, due - time.monotonic())):
                due += period
                begun = time.monotonic()
                try:
                    answer = session.post(self.url, json=self.customer, timeout=20)
                except requests.RequestException as failure:
                    self.sent.append(Sent(begun, 0, None, repr(failure)))
                    continue
                document = answer.json()
                run_id = document.get("model_run_id")
                told = answer.text[:200], document.get("prediction_id", "")
                self.sent.append(Sent(begun, answer.status_code, run_id, *told))
