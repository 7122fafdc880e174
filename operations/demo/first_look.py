"""The end of the demo: enough customers for monitoring and reports to have something to say."""

import re
import time
from collections.abc import Callable
from typing import Any

import requests
from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.settings import Settings
from operations.embedded.errors import StackError
from operations.embedded.services import HERE
from reporting.report_store import ReportStore

Say = Callable[[str], object]

_SEED = 2
_BATCH = 200
_ANSWER_SECONDS = 30
_KEPT_SECONDS = 60
_MONITORED_SECONDS = 120


def send_customers(settings: Settings, contract: Contract, count: int) -> list[str]:
    """Has customers predicted in batches; returns the prediction ids.

    Raises:
        StackError: the server refuses a batch.
    """
    customers = CustomerGenerator(contract, seed=_SEED).draw(count)
    ids: list[str] = []
    with _session() as session:
        for start in range(0, count, _BATCH):
            answer = session.post(
                f"http://{HERE}:{settings.api_port}/predict/batch",
                json=customers[start : start + _BATCH],
                timeout=_ANSWER_SECONDS,
            )
            if not answer.ok:
                raise StackError(
                    f"the server answered with {answer.status_code}: {answer.text[:500]}"
                )
            ids += [each["prediction_id"] for each in answer.json()]
    return ids


def wait_until_kept(settings: Settings, prediction_ids: list[str]) -> None:
    """Waits until MongoDB has predictions: a moment after they were answered.

    Raises:
        StackError: it does not get them in time.
    """
    with MongoClient[dict[str, Any]](settings.mongo_uri, timeoutMS=5000) as client:
        kept = client[DATABASE]["data"]
        wanted = {"_id": {"$in": prediction_ids}}
        _wait_until(
            lambda: kept.count_documents(wanted) == len(prediction_ids),
            _KEPT_SECONDS,
            "MongoDB does not have all of the predictions",
        )


def has_report(settings: Settings, say: Say) -> bool:
    """Whether there is a report from a former run; says which is the newest."""
    with ReportStore(settings.mongo_uri) as store:
        newest = store.newest(1)
    for report in newest:
        say(f"   {report.verdict} in the newest report: {settings.reports_url}/{report.html}")
    return bool(newest)


def show_monitoring(settings: Settings, contract: Contract, say: Say) -> None:
    """Waits until the monitoring service has calculated, and says what it found.

    Raises:
        StackError: it does not in time.
    """
    found: dict[str, float] = {}

    def has_verdict() -> bool:
        found.update(_gauges(f"http://{HERE}:{settings.evidently_port}/metrics", contract.name))
        return "data_drift:dataset_drift" in found

    _wait_until(has_verdict, _MONITORED_SECONDS, "the monitoring service has no verdict")
    say(
        f"   {found['window_rows']:.0f} rows in the window, "
        f"{found['data_drift:n_drifted_features']:.0f} of {len(contract.features)} features "
        f"drifted: {'drift' if found['data_drift:dataset_drift'] else 'no drift'}"
    )


def _gauges(address: str, dataset: str) -> dict[str, float]:
    """The service's own gauges that have no label but the data set, without their prefix."""
    with _session() as session:
        text = session.get(address, timeout=_ANSWER_SECONDS).text
    pattern = rf'(?m)^evidently:(\S+){{dataset="{re.escape(dataset)}"}} (\S+)$'
    return {name: float(value) for name, value in re.findall(pattern, text)}


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy between this machine and itself
    return session


def _wait_until(condition: Callable[[], bool], seconds: float, failure: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(f"{failure} after {seconds:g} s")
        time.sleep(0.5)
