"""Whatever the HTTP server does, no customer is lost and none is predicted twice."""

import json
import random
from collections.abc import Iterator

import pytest

from mlstack.contract import Contract
from mlstack.prediction_log.prediction import Outcome
from mlstack.settings import Settings
from mlstack.waiting import Stop, Stopped, Unavailable
from simulation_business import api_client as module
from simulation_business.api_client import ApiClient, Refused
from tests.support.hasty_stop import HastyStop
from tests.support.http_double import Fault, HttpDouble, status


@pytest.fixture
def stop() -> HastyStop:
    return HastyStop()


@pytest.fixture
def double(documented: Contract) -> Iterator[HttpDouble]:
    with HttpDouble(documented) as double:
        yield double


@pytest.fixture
def client(double: HttpDouble, stop: Stop) -> Iterator[ApiClient]:
    client = ApiClient(Settings(api_url=double.url), double.contract, stop)
    yield client
    client.close()


ID = "8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c11"
GOOD = b'{"churn chance": 0.5, "prediction_id": "%s"}' % ID.encode()
PASSING = {
    "reset": Fault(reset=True),
    "closed": Fault(),
    "kept, then reset": Fault(kept=True, reset=True),
    "kept, then half an answer": Fault(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", kept=True
    ),
    "half a chunk": Fault(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{"),
    "no chunk": Fault(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{"),
    "no HTTP": Fault(b"\x00\xff nonsense\r\n\r\n"),
    "endless header": Fault(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "not ready": status(503, b'{"detail": "no model"}', Retry_After="5"),
    "overloaded": status(429),
    "bad gateway": status(502, b"<html>"),
    "defect": status(500, b"<html>"),
    "redirect": status(302, Location="http://127.0.0.1:1/"),
    "not JSON": status(200, b"<html>welcome"),
    "empty": status(200),
    "no object": status(200, b"[1]"),
    "no chance": status(200, b'{"prediction_id": "p"}'),
    "chance of 2": status(200, GOOD.replace(b"0.5", b"2")),
    "chance of NaN": status(200, GOOD.replace(b"0.5", b"NaN")),
    "chance of true": status(200, GOOD.replace(b"0.5", b"true")),
    "no id": status(200, GOOD.replace(ID.encode(), b"")),
    "id that is none": status(200, GOOD.replace(ID.encode(), b"p" * 5000)),
    "nested": status(200, b"[" * 5000),
    "not gzip": status(200, GOOD, Content_Encoding="gzip"),
    "endless": Fault(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 2_000_000),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_customer_is_answered_once_after_fault(
    client: ApiClient, double: HttpDouble, fault: Fault, documented: Contract
) -> None:
    """A fault leads to a repetition, which is not a second prediction."""
    double.faults.extend([fault] * 3)
    answer = client.predict(dict(documented.example))
    (kept,) = double.book.predictions.values()
    assert (answer.prediction_id, answer.tries) == (kept.prediction_id, 4)
    assert kept.answered == 1


def test_slow_answer_is_retried(
    client: ApiClient, double: HttpDouble, documented: Contract, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that takes too long is asked for again."""
    monkeypatch.setattr(module, "_READ_SECONDS", 0.2)
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"
    double.faults.extend([Fault(hang=True, kept=True), Fault(head, hang=True, kept=True)])
    answer = client.predict(dict(documented.example))
    assert answer.tries == 3
    assert answer.seconds < 0.2
    assert len(double.book.predictions) == 1


def test_mixed_faults_lose_and_double_nobody(
    client: ApiClient, double: HttpDouble, documented: Contract
) -> None:
    """Whatever faults follow each other, each customer has one prediction."""
    chance = random.Random(3)
    answers = []
    for _ in range(100):
        if chance.random() < 0.5:
            double.faults.extend(chance.choices(list(PASSING.values()), k=chance.randint(1, 4)))
        answers.append(client.predict(dict(documented.example)))
    assert [answer.prediction_id for answer in answers] == [
        kept.prediction_id for kept in double.book.predictions.values()
    ]


def test_connection_is_reused(client: ApiClient, double: HttpDouble, documented: Contract) -> None:
    """All requests share a connection."""
    for _ in range(20):
        client.predict(dict(documented.example))
    assert double.book.connections == 1


def test_retry_after_is_respected_within_limits(
    client: ApiClient, double: HttpDouble, stop: HastyStop, documented: Contract
) -> None:
    """The client waits as long as the server asks for, but not without limit."""
    for retry_after in ("5", "99999999", "tomorrow", "-1", "9" * 400):
        double.faults.append(status(503, Retry_After=retry_after))
    client.predict(dict(documented.example))
    assert stop.waits[0] == 5
    assert stop.waits[1] == 30
    assert all(0 < wait < 10 for wait in stop.waits[2:4])
    assert stop.waits[4] == 30


def test_waits_grow_and_reset_after_success(
    client: ApiClient, double: HttpDouble, stop: HastyStop, documented: Contract
) -> None:
    """Repeated failures lead to longer random waits, until a success."""
    double.faults.extend([Fault(reset=True)] * 12)
    client.predict(dict(documented.example))
    assert 0 < stop.waits[0] <= 0.2
    assert 1 < max(stop.waits[6:]) <= 10
    assert len(set(stop.waits)) == 12
    double.faults.append(Fault(reset=True))
    client.predict(dict(documented.example))
    assert stop.waits[-1] <= 0.2


def test_refused_customer_is_not_retried(
    client: ApiClient, double: HttpDouble, documented: Contract
) -> None:
    """A refusal is final and says why."""
    name = documented.feature_names[0]
    with pytest.raises(Refused, match=f"HTTP 422: /{name} must be"):
        client.predict({**documented.example, name: 5000})
    assert double.book.requests == ["/predict"]


@pytest.mark.parametrize("number", [500, 301, 204, 599])
def test_invalid_answers_are_given_up_on(
    client: ApiClient, double: HttpDouble, documented: Contract, number: int
) -> None:
    """A customer whose answer is invalid each time counts as refused."""
    double.faults.extend([status(number)] * 50)
    with pytest.raises(Refused, match=f"HTTP {number}"):
        client.predict(dict(documented.example))
    assert len(double.book.requests) == 5


def test_client_stops_on_order(
    client: ApiClient, stop: HastyStop, double: HttpDouble, documented: Contract
) -> None:
    """After the stop request the server is not asked."""
    stop.request()
    with pytest.raises(Stopped):
        client.predict(dict(documented.example))
    assert client.report([Outcome("p", value=1)]) is False
    assert double.book.requests == []


def test_long_outage_is_an_error(stop: HastyStop, documented: Contract) -> None:
    """The error names the server."""
    closed = HttpDouble(documented)
    client = ApiClient(Settings(api_url=closed.url), documented, stop, 0.0)
    with pytest.raises(Unavailable, match=closed.url):
        client.predict(dict(documented.example))
    client.close()


def test_outcomes_carry_the_targets_name(client: ApiClient, double: HttpDouble) -> None:
    """The contract names the key of an outcome."""
    assert client.report([Outcome("p", value=1), Outcome("q", value=0)])
    assert double.book.outcomes == {"p": True, "q": False}


def test_delayed_outcomes_differ_from_refused(client: ApiClient, double: HttpDouble) -> None:
    """Outcomes that the server cannot take now are not those that it refuses."""
    outcomes = [Outcome("p", value=1)]
    double.faults.extend([Fault(reset=True), status(503), status(422), status(404), status(500)])
    assert client.report(outcomes) is False
    assert client.report(outcomes) is False
    for _ in range(3):
        with pytest.raises(Refused):
            client.report(outcomes)
    assert client.report(outcomes) is True


def test_missing_values_are_sent_as_null(full: Contract, stop: Stop) -> None:
    """A value that may be missing is sent as null."""
    gone = {feature.name: None for feature in full.features if feature.may_be_missing}
    with HttpDouble(full) as double:
        client = ApiClient(Settings(api_url=double.url), full, stop)
        assert client.predict(dict(full.example) | gone)
        client.close()
    (kept,) = double.book.predictions.values()
    assert json.dumps(kept.customer) == json.dumps(dict(full.example) | gone)
