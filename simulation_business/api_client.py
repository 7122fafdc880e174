"""The HTTP server, seen from outside: asked until it answers, and never trusted."""

import json
import logging
import math
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
import urllib3

from mlstack.contract.customer_schema import Customer
from mlstack.errors import MlstackError
from mlstack.prediction_log.prediction import Outcome, is_prediction_id
from mlstack.web.strict_json import InvalidJson, parse
from simulation_business.answers import is_chance
from simulation_business.pulse import Patience, Pulse

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 20.0
_MOST_BYTES = 1024 * 1024
_ODD_TRIES = 5
_MOST_RETRY_AFTER = 30.0

_COME_BACK = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses of a server that is not there yet, or has too much to do."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction as it was answered.

    Args:
        prediction_id: Its name.
        chance: Probability of the positive class.
        seconds: How long the try took that was answered.
        tries: How often it was asked.
    """

    prediction_id: str
    chance: float
    seconds: float
    tries: int


class Refused(MlstackError):
    """The server does not want the request, or answers it with nonsense every time."""


class _Unreachable(MlstackError):
    """No answer, half of one, or the order to come back later."""

    def __init__(self, reason: object, retry_after: float = 0.0) -> None:
        self.retry_after = retry_after
        super().__init__(str(reason))


class _Odd(MlstackError):
    """An answer that a sound server does not give."""


class ApiClient:
    """Asks for predictions and reports outcomes; for one thread.

    Args:
        url: The server's address.
        answer: Key of the chance in an answer.
        target: Key of the outcome in a report.
        pulse: Ends waits.
        give_up_seconds: How long the server may be away; infinite: until the order to stop.
        feedback_token: What the server wants of those who report outcomes; empty: nothing.
    """

    def __init__(
        self,
        url: str,
        answer: str,
        target: str,
        pulse: Pulse,
        give_up_seconds: float = math.inf,
        *,
        feedback_token: str = "",
    ) -> None:
        self._url, self._answer, self._target = url.rstrip("/"), answer, target
        self._pulse = pulse
        self._patience = Patience(pulse, f"asking {self._url}", give_up_seconds)
        self._session = requests.Session()
        # The server is a neighbour: no proxy of the machine's, no password of its user's.
        self._session.trust_env = False
        self._reporting = {"Authorization": f"Bearer {feedback_token}"} if feedback_token else {}

    def predict(self, customer: Customer) -> Answer | None:
        """Asks for one prediction, the same one however often it has to ask.

        Returns:
            The answer; None: the order to stop was given before there was one.

        Raises:
            Refused: the server does not answer this customer.
            Unavailable: it has been away for too long.
        """
        body, key = json.dumps(customer).encode(), uuid.uuid4().hex
        tries = odd = 0
        while not self._pulse.stopping:
            self._pulse.beat()
            tries += 1
            begun = time.monotonic()
            try:
                document = self._post("/predict", body, {"Idempotency-Key": key})
                prediction_id, chance = self._read_answer(document)
            except _Unreachable as error:
                if not self._patience.again(error, error.retry_after):
                    return None
            except _Odd as error:
                odd += 1
                if odd == _ODD_TRIES:
                    raise Refused(str(error)) from error
                if not self._patience.again(error):
                    return None
            else:
                self._patience.succeeded()
                return Answer(prediction_id, chance, time.monotonic() - begun, tries)
        return None

    def report(self, outcomes: Sequence[Outcome]) -> bool:
        """Reports outcomes, with one try; a repeat changes nothing.

        Returns:
            Whether the server has taken them; False: it cannot just now, or the order to stop
            was given.

        Raises:
            Refused: it will not take them.
        """
        if self._pulse.stopping:
            return False
        self._pulse.beat()
        document = [
            {"prediction_id": outcome.prediction_id, self._target: outcome.positive}
            for outcome in outcomes
        ]
        try:
            self._post("/feedback", json.dumps(document).encode(), self._reporting)
        except _Unreachable as error:
            log.debug("outcomes have to wait: %s", error)
            return False
        except _Odd as error:
            raise Refused(str(error)) from error
        return True

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> Any:
        """Sends JSON once; returns the JSON of a success.

        Raises:
            _Unreachable, Refused, _Odd: there is none.
        """
        try:
            response = self._session.post(
                self._url + path,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = _read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise _Unreachable(error) from error
        status = response.status_code
        if status in _COME_BACK:
            raise _Unreachable(_problem(status, content), _retry_after(response))
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Refused(_problem(status, content))
        if status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise _Odd(_problem(status, content))
        try:
            return parse(content)
        except InvalidJson as error:
            raise _Odd(f"HTTP {status} with a body that is not JSON: {error}") from error

    def _read_answer(self, document: Any) -> tuple[str, float]:
        if isinstance(document, dict):
            prediction_id, chance = document.get("prediction_id"), document.get(self._answer)
            if is_prediction_id(prediction_id) and is_chance(chance):
                return prediction_id, chance
        raise _Odd(f"the answer is no prediction: {str(document)[:100]}")


def _read(response: requests.Response) -> bytes:
    """Reads a body that may be neither too large nor too slow."""
    deadline = time.monotonic() + _READ_SECONDS
    content = b""
    while piece := response.raw.read1(_MOST_BYTES, decode_content=True):
        content += piece
        if len(content) > _MOST_BYTES:
            raise _Unreachable("the answer does not end")
        if time.monotonic() > deadline:
            raise _Unreachable("the answer is too slow")
    return content


def _problem(status: int, content: bytes) -> str:
    """A refusal in words: the server's own if it has any."""
    try:
        document = parse(content)
    except InvalidJson:
        return f"HTTP {status}"
    if not isinstance(document, dict):
        return f"HTTP {status}"
    errors = document.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    if isinstance(first, dict) and "pointer" in first:
        return f"HTTP {status}: {first['pointer']} {first.get('detail')}"[:300]
    return f"HTTP {status}: {document.get('detail')}"[:300]


def _retry_after(response: requests.Response) -> float:
    """Seconds that the server asks for; its dates are not looked at."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), _MOST_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0
