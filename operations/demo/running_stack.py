"""Query the running stack as its users would, at the addresses in the settings."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import requests
from prometheus_client.parser import text_string_to_metric_families
from pymongo import DESCENDING
from pymongo.collection import Collection
from pymongo.errors import PyMongoError

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import CREATED_AT, SOURCE
from mlstack.prediction_log.indexes import version_filter
from mlstack.prediction_log.mongo_database import DATABASE, PREDICTIONS, mongo_client
from mlstack.prediction_log.prediction import ID, Source
from mlstack.probes import model_is_served, monitor_watches, url_answers
from mlstack.settings import Settings
from operations.errors import StackError
from reporting.report import Report
from reporting.report_store import ReportStore

ALERT = "DataDrifted"

_ANSWER_SECONDS = 30
_MONGO_SECONDS = 5.0
_DRIFT = "evidently:data_drift:"


@dataclass(frozen=True, slots=True)
class Gauges:
    """What the monitoring service reports about drift.

    Args:
        drifted: The verdict; None until the first calculation.
        features: The drifted features.
        rows: Number of predictions in the window.
    """

    drifted: bool | None
    features: tuple[str, ...]
    rows: int = 0

    @classmethod
    def parse(cls, exposition: str, dataset: str) -> Self:
        """Parse the answer of GET /metrics; `dataset` is the contract's name."""
        drifted, features, rows = None, [], 0
        for family in text_string_to_metric_families(exposition):
            for sample in family.samples:
                if sample.labels.get("dataset") != dataset:
                    continue
                if sample.name == f"{_DRIFT}dataset_drift":
                    drifted = bool(sample.value)
                elif sample.name == f"{_DRIFT}drifted" and sample.value:
                    features.append(sample.labels["feature"])
                elif sample.name == "evidently:window_rows":
                    rows = int(sample.value)
        return cls(drifted, tuple(features), rows)


class RunningStack:
    """The running services.

    Every method except `alerts_fault` raises MlstackError if a service does not answer.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings, self._contract = settings, contract
        self._session = requests.Session()
        # Bypass proxies: the services are local.
        self._session.trust_env = False

    def require_ready(self) -> None:
        """Raise StackError if a service that the demonstration needs is not ready."""
        for name, reason in self._faults():
            if reason:
                raise StackError(
                    f"the stack is not up: {name} {reason}; start it with make setup-model-serve "
                    "(without Docker: make demo), and see make status"
                )

    def alerts_fault(self) -> str:
        """Return why alerts are unavailable; empty if they are available."""
        answer = url_answers(f"{self._settings.prometheus_url}/-/ready")
        return "" if answer.ready else f"prometheus: {answer.detail}; see make status"

    def predict(self, path: str, body: object) -> Any:
        """POST JSON to the HTTP server and return its answer."""
        return self._request("POST", f"{self._settings.api_url}{path}", json=body).json()

    def has_predictions(self, *prediction_ids: str) -> bool:
        """Return whether MongoDB has all these predictions."""
        with self._predictions() as predictions:
            wanted = {ID: {"$in": prediction_ids}}
            return predictions.count_documents(wanted) == len(prediction_ids)

    def newest_prediction(self, source: Source) -> dict[str, Any]:
        """Return the newest prediction of a server; empty if there is none."""
        newest = [(CREATED_AT, DESCENDING)]
        wanted = version_filter(self._contract)
        with self._predictions() as predictions:
            return predictions.find_one({**wanted, SOURCE: source}, sort=newest) or {}

    def count_predictions(self) -> int:
        """Return the number of predictions in MongoDB."""
        with self._predictions() as predictions:
            return predictions.estimated_document_count()

    def newest_report(self) -> Report | None:
        """Return the newest report."""
        with ReportStore(self._settings.mongo_uri) as store:
            return next(iter(store.newest(1)), None)

    def gauges(self) -> Gauges:
        """Return what the monitoring service currently reports."""
        answer = self._request("GET", f"{self._settings.monitor_url}/metrics")
        return Gauges.parse(answer.text, self._contract.name)

    def alert_fires(self) -> bool:
        """Return whether the alert about drift fires."""
        wanted = {"alertname": ALERT, "dataset": self._contract.name}.items()
        answer = self._request("GET", f"{self._settings.prometheus_url}/api/v1/alerts")
        return any(
            alert["state"] == "firing" and wanted <= alert["labels"].items()
            for alert in answer.json()["data"]["alerts"]
        )

    def _faults(self) -> Iterator[tuple[str, str]]:
        """Yield each required service and why it is not ready; empty if it is."""
        served = model_is_served(self._settings.api_url)
        yield "model-server-api", "" if served.ready else served.detail
        if not self._settings.monitor_url:
            yield "evidently_service", "is not named by MONITOR_URL"
        watched = monitor_watches(self._settings.monitor_url)
        yield "evidently_service", "" if watched.ready else watched.detail
        try:
            self.count_predictions()
        except StackError as error:
            yield "mongo", str(error).removeprefix("mongo ")

    @contextmanager
    def _predictions(self) -> Iterator[Collection[dict[str, Any]]]:
        try:
            with mongo_client(self._settings.mongo_uri, _MONGO_SECONDS) as client:
                yield client[DATABASE][PREDICTIONS]
        except PyMongoError as error:
            raise StackError(f"mongo does not answer ({error})") from error

    def _request(self, method: str, url: str, **options: Any) -> requests.Response:
        try:
            answer = self._session.request(method, url, timeout=_ANSWER_SECONDS, **options)
        except requests.RequestException as error:
            raise StackError(f"{url} does not answer ({error})") from error
        if not answer.ok:
            raise StackError(f"{url} answers {answer.status_code}: {answer.text[:500]}")
        return answer
