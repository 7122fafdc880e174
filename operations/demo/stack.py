"""The running stack, asked as people would ask it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mlstack.contract import Contract
from mlstack.prediction_log.mongo_database import DATABASE, mongo_client
from mlstack.probes import model_is_served, monitor_watches, url_answers
from mlstack.settings import Settings
from operations.demo.errors import DemoError

ALERT = "DataDrifted"

_ANSWER_SECONDS = 10
_MONGO_SECONDS = 5.0
_DRIFT = "evidently:data_drift:"


@dataclass(frozen=True, slots=True)
class Gauges:
    """What the monitoring service tells of drift.

    Args:
        drifted: The verdict; None: it has not calculated yet.
        features: Those that have drifted.
    """

    drifted: bool | None
    features: tuple[str, ...]

    @classmethod
    def parse(cls, exposition: str, dataset: str) -> "Gauges":
        """Reads Prometheus' text format.

        Args:
            exposition: The answer to GET /metrics.
            dataset: The contract's name.
        """
        drifted, features = None, []
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                if sample.labels.get("dataset") != dataset:
                    continue
                if sample.name == f"{_DRIFT}dataset_drift":
                    drifted = bool(sample.value)
                elif sample.name == f"{_DRIFT}drifted" and sample.value:
                    features.append(sample.labels["feature"])
        return cls(drifted, tuple(features))


class Stack:
    """The running services.

    Args:
        settings: Where they are.
        contract: What a customer is.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings, self._contract = settings, contract
        self._session = requests.Session()
        # The services are neighbours: no proxy of the machine's.
        self._session.trust_env = False

    def require(self) -> None:
        """Makes sure that what the demonstration cannot do without is there.

        Raises:
            DemoError: a service is not ready; says which and why.
        """
        for name, reason in self._reasons():
            if reason:
                raise DemoError(
                    f"the stack is not up: {name} {reason}; start it with make setup-model-serve "
                    "(without Docker: make demo), and see make status"
                )

    def lack_of_alerts(self) -> str:
        """Why there will be no alert; empty: there will be one."""
        answer = url_answers(f"{self._settings.prometheus_url}/-/ready")
        return "" if answer.ready else f"prometheus {answer.detail}; see make status"

    def is_stored(self, prediction_id: str) -> bool:
        """Whether MongoDB has a prediction."""
        try:
            with self._mongo() as client:
                return client[DATABASE]["data"].find_one({"_id": prediction_id}) is not None
        except PyMongoError as error:
            raise DemoError(f"mongo does not answer any more ({error})") from error

    def gauges(self) -> Gauges:
        """What the monitoring service tells at this moment."""
        return Gauges.parse(
            self._get(f"{self._settings.monitor_url}/metrics").text, self._contract.name
        )

    def fires(self) -> bool:
        """Whether the alert does."""
        wanted = {"alertname": ALERT, "dataset": self._contract.name}.items()
        answer = self._get(f"{self._settings.prometheus_url}/api/v1/alerts")
        return any(
            alert["state"] == "firing" and wanted <= alert["labels"].items()
            for alert in answer.json()["data"]["alerts"]
        )

    def _reasons(self) -> Iterator[tuple[str, str]]:
        """Each service that is needed, and why it is not ready; empty: it is."""
        served = model_is_served(self._settings.api_url)
        yield "model-server-api", "" if served.ready else served.detail
        if not self._settings.monitor_url:
            yield "evidently_service", "is not named by MONITOR_URL"
        watched = monitor_watches(self._settings.monitor_url)
        yield "evidently_service", "" if watched.ready else watched.detail
        try:
            with self._mongo() as client:
                client.admin.command("ping")
        except PyMongoError as error:
            yield "mongo", f"does not answer ({error})"

    def _mongo(self) -> "MongoClient[dict[str, Any]]":
        return mongo_client(self._settings.mongo_uri, _MONGO_SECONDS)

    def _get(self, url: str) -> requests.Response:
        try:
            answer = self._session.get(url, timeout=_ANSWER_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise DemoError(f"{url} does not answer any more ({error})") from error
        return answer
