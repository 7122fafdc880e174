"""HTTP client that retries until it gets a response, and checks every response."""

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
from pydantic import ValidationError

from mlstack.contract import Contract
from mlstack.contract.customer_schema import Customer
from mlstack.contract.prediction_fields import PREDICTION_ID
from mlstack.contract.target import Scored
from mlstack.data.marginals import Marginals
from mlstack.errors import MlstackError
from mlstack.prediction_log.prediction import Outcome, is_prediction_id
from mlstack.settings import Settings
from mlstack.waiting import Retry, RetryLater, Stop, Stopped
from mlstack.web.strict_json import InvalidJson, parse
from simulation_business.answers import read_prediction

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 3.0
_READ_SECONDS = 20.0
_MAX_BYTES = 16 * 1024 * 1024
_JSON = {"Content-Type": "application/json"}
_MAX_INVALID = 5
_MAX_RETRY_AFTER = 30.0

_COME_BACK = frozenset({408, 425, 429, 502, 503, 504})
"""Statuses of a server that is not ready yet or is overloaded."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A prediction as returned by the server.

    Args:
        scored: What the model predicts.
        seconds: Duration of the successful attempt.
        tries: Number of attempts.
    """

    prediction_id: str
    scored: Scored
    seconds: float
    tries: int


class Refused(MlstackError):
    """The server rejects the request, or its response is invalid every time."""


class _InvalidAnswer(RetryLater):
    """A response that a working server does not send."""


class ApiClient:
    """Requests predictions and reports outcomes; not thread-safe.

    `give_up` is the maximum outage of the server in seconds.
    """

    def __init__(
        self, settings: Settings, contract: Contract, stop: Stop, give_up: float = math.inf
    ) -> None:
        self._url = settings.api_url.rstrip("/")
        self._contract = contract
        self._stop = stop
        self._retry = Retry(
            *(log, f"asking {self._url}"),
            stop=stop,
            first=0.2,
            longest=10.0,
            give_up=give_up,
        )
        self._session = requests.Session()
        # The server is local: use neither the machine's proxy nor its user's password.
        self._session.trust_env = False
        token = settings.feedback_token
        self._token = {"Authorization": f"Bearer {token}"} if token else {}

    def predict(self, customer: Customer) -> Answer:
        """Request one prediction; retries return the same prediction.

        Raises:
            Refused: the server rejects this customer.
            Stopped: the process must stop.
            Unavailable: the server has been unavailable for too long.
        """
        body, key = json.dumps(customer).encode(), uuid.uuid4().hex
        tries = invalid = 0

        def ask() -> Answer:
            nonlocal tries, invalid
            if self._stop.requested:
                raise Stopped
            self._stop.beat()
            tries += 1
            began = time.monotonic()
            try:
                document = self._request("/predict", body, {"Idempotency-Key": key})
                prediction_id, scored = self._read_answer(document)
            except _InvalidAnswer as error:
                invalid += 1
                if invalid == _MAX_INVALID:
                    raise Refused(str(error)) from error
                raise
            return Answer(prediction_id, scored, time.monotonic() - began, tries)

        return self._retry(ask)

    def report(self, outcomes: Sequence[Outcome]) -> bool:
        """Report outcomes in one attempt; a repetition changes nothing.

        Returns False if the server cannot accept them now or the process must stop. Raises Refused
        if the server will never accept them.
        """
        if self._stop.requested:
            return False
        self._stop.beat()
        target = self._contract.target
        document = [
            {PREDICTION_ID: outcome.prediction_id, target.name: target.reported(outcome.value)}
            for outcome in outcomes
        ]
        try:
            self._request("/feedback", json.dumps(document).encode(), self._token)
        except _InvalidAnswer as error:
            raise Refused(str(error)) from error
        except RetryLater as error:
            log.debug("outcomes have to wait: %s", error)
            return False
        return True

    def marginals(self) -> Marginals | None:
        """Ask once for the marginals of the model in use; None if it has none.

        Raises RetryLater if the server has no model, or one of another contract.
        """
        document = self._request("/marginals", None, self._token)
        if document is None:
            return None
        try:
            marginals = Marginals.model_validate(document)
        except ValidationError as error:
            raise _InvalidAnswer(f"the response has no marginals: {str(error)[:200]}") from error
        if marginals.contract != self._contract.digest:
            raise RetryLater("the model in use has another contract than CONTRACT names")
        return marginals

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _request(self, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        """Send a request once, and return the JSON of a successful response.

        A request with JSON is a POST, one without is a GET.

        Raises:
            RetryLater: there was no complete response, or the server asks to retry.
            _InvalidAnswer: the response makes no sense.
            Refused: the server rejects the request.
        """
        try:
            response = self._session.request(
                "GET" if body is None else "POST",
                self._url + path,
                data=body,
                headers=headers if body is None else {**_JSON, **headers},
                timeout=(_CONNECT_SECONDS, _READ_SECONDS),
                allow_redirects=False,
                stream=True,
            )
            with response:
                content = _read(response)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise RetryLater(error) from error
        status = response.status_code
        if status in _COME_BACK:
            raise RetryLater(_problem(status, content), _retry_after(response))
        if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Refused(_problem(status, content))
        if status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise _InvalidAnswer(_problem(status, content))
        try:
            return parse(content)
        except InvalidJson as error:
            raise _InvalidAnswer(f"HTTP {status} with invalid JSON: {error}") from error

    def _read_answer(self, document: Any) -> tuple[str, Scored]:
        if isinstance(document, dict):
            prediction_id = document.get(PREDICTION_ID)
            scored = read_prediction(document, self._contract)
            if is_prediction_id(prediction_id) and scored is not None:
                return prediction_id, scored
        raise _InvalidAnswer(f"the response is not a prediction: {str(document)[:100]}")


def _read(response: requests.Response) -> bytes:
    """Read a body, limiting its size and duration."""
    deadline = time.monotonic() + _READ_SECONDS
    content = b""
    while piece := response.raw.read1(_MAX_BYTES, decode_content=True):
        content += piece
        if len(content) > _MAX_BYTES:
            raise RetryLater("the answer is too large")
        if time.monotonic() > deadline:
            raise RetryLater("the answer is too slow")
    return content


def _problem(status: int, content: bytes) -> str:
    """Return why a request was rejected, in the server's own words if possible."""
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
    """Return the seconds that the server asks to wait; dates are ignored."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), _MAX_RETRY_AFTER) if text.isascii() and text.isdigit() else 0.0
