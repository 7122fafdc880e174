"""Answered means kept: a client that records every answer, and the comparison afterwards."""

import json
import random
import threading
import time
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any, Self

from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.prediction_log.mongo_database import DATABASE, PREDICTIONS
from tests.support.api_server import ApiServer, send
from tests.support.mongo import MongoServer
from tests.support.waiting import wait_until

CLIENTS = 4
RATE = 50.0
"""Requests a second, of all clients together."""


class Client:
    """Client that sends customers at a steady rate and records the answers."""

    def __init__(self, server: ApiServer, contract: Contract) -> None:
        self._server, self._contract = server, contract
        self.answered: dict[str, float] = {}
        self.latencies: list[float] = []
        """Seconds of each answered request, in order."""
        self.refused: list[int] = []
        self.broken = 0
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(CLIENTS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, what: str, seconds: float = 60) -> None:
        """Wait until `more` further customers were answered."""
        enough = len(self.answered) + more
        wait_until(lambda: len(self.answered) >= enough, what, seconds)

    def _run(self, number: int) -> None:
        customers = CustomerGenerator(self._contract, seed=number).draw(1000)
        connection = HTTPConnection("127.0.0.1", self._server.port, timeout=10)
        with closing(connection):
            while not self._stopping.wait(CLIENTS / RATE):
                self._ask(connection, json.dumps(random.choice(customers)))

    def _ask(self, connection: HTTPConnection, body: str) -> None:
        begun = time.monotonic()
        try:
            answer = send(
                connection, "POST", "/predict", body, [("Content-Type", "application/json")]
            )
        except (OSError, HTTPException):
            # Not answered, so nothing promises that it is kept.
            self.broken += 1
            connection.close()
            return
        if answer.status == 200:
            self.latencies.append(time.monotonic() - begun)
            document = answer.json()
            self.answered[document["prediction_id"]] = document[self._contract.answer]
        else:
            self.refused.append(answer.status)


def kept(mongo: MongoServer) -> dict[str, float]:
    """Read the value of each stored prediction, by id."""
    with MongoClient[dict[str, Any]](mongo.uri, timeoutMS=20_000) as client:
        documents = list(client[DATABASE][PREDICTIONS].find({}, {"prediction": 1}))
    assert len({document["_id"] for document in documents}) == len(documents)
    return {document["_id"]: document["prediction"] for document in documents}


def assert_ledger_holds(client: Client, mongo: MongoServer) -> None:
    """Assert that every acknowledged prediction is stored with the same value."""
    wait_until(
        lambda: client.answered.keys() <= kept(mongo).keys(), "every answer is stored", seconds=120
    )
    stored = kept(mongo)
    assert {i: stored[i] for i in client.answered} == client.answered
