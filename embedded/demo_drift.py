"""`make demo-drift`: how long it takes from a customer who has changed until somebody knows.

Usage: python -m embedded.demo_drift [DRIFT]

Sends a window full of drifted customers to the running stack, as the simulator does, and
follows the first of them: stored, seen in the gauges, alarmed about, reported. A window that
is not calm before is calmed by ordinary customers first, so that it can be run again.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import requests
from prometheus_client.parser import text_string_to_metric_families
from pymongo import MongoClient

from embedded.errors import StackError
from embedded.services import HERE, Service, all_services
from embedded.supervise import ENVIRONMENT
from mlstack import environments
from mlstack.contract import Contract
from mlstack.drift import drifts_path, load_drift, load_drifts
from mlstack.errors import MlstackError
from mlstack.mongo_sink import DATABASE
from mlstack.settings import ROOT, Settings
from reporting.report import Report
from reporting.report_store import ReportStore
from simulation_business.api_client import ApiClient
from simulation_business.business import Business
from simulation_business.options import Options
from simulation_business.pulse import Pulse, heartbeat_path

NEEDED = ("mongo", "model-server-api", "evidently_service")
ALERT = "DataDrifted"

_ANSWER_SECONDS = 10
_GIVE_UP_SECONDS = 30.0
_STEP_SECONDS = 120.0
_POLL_SECONDS = 0.2
_DRIFT = "evidently:data_drift:"
_SEED = 7


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
    """The running services, asked as people would ask them.

    Args:
        settings: Where they are.
        contract: What a customer is.
    """

    def __init__(self, settings: Settings, contract: Contract) -> None:
        self._settings, self._contract = settings, contract
        self.services = {service.name: service for service in all_services(settings)}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between this machine and itself

    def require(self) -> None:
        """Makes sure that what the demonstration can not do without is there.

        Raises:
            StackError: a service is not ready; says which and why.
        """
        for name in NEEDED:
            answer = self.services[name].probe()
            if not answer.ready:
                raise StackError(
                    f"the stack is not up: {name} {answer.detail}; start it with make demo"
                )

    def lack_of_alerts(self) -> str:
        """Why there will be no alert; empty: there will be one."""
        service = self.services["prometheus"]
        answer = service.probe()
        return "" if answer.ready else service.lacks or f"prometheus {answer.detail}"

    def is_stored(self, prediction_id: str) -> bool:
        """Whether MongoDB has a prediction."""
        with MongoClient[dict[str, Any]](self._settings.mongo_uri, timeoutMS=5000) as client:
            return client[DATABASE]["data"].find_one({"_id": prediction_id}) is not None

    def gauges(self) -> Gauges:
        """What the monitoring service tells at this moment."""
        return Gauges.parse(
            self._get(f"{self._settings.monitor_url}/metrics").text, self._contract.name
        )

    def fires(self) -> bool:
        """Whether the alert does."""
        url = f"http://{HERE}:{self._settings.prometheus_port}/api/v1/alerts"
        wanted = {"alertname": ALERT, "dataset": self._contract.name}.items()
        return any(
            alert["state"] == "firing" and wanted <= alert["labels"].items()
            for alert in self._get(url).json()["data"]["alerts"]
        )

    def _get(self, url: str) -> requests.Response:
        try:
            answer = self._session.get(url, timeout=_ANSWER_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            raise StackError(f"{url} does not answer any more ({error})") from error
        return answer


class Sender:
    """Sends a window full of customers, by the simulator's own code, in a thread.

    Args:
        settings: Where the server is, and how many predictions a window has.
        contract: What a customer is.
        drift: By which the customers have changed; None: ordinary ones.
    """

    def __init__(self, settings: Settings, contract: Contract, drift: str | None) -> None:
        self.count = settings.monitor_window_rows
        rate = self.count * 60 / settings.simulation_seconds
        options = Options(once=True, rate=rate, drift=drift, seed=_SEED)
        self._customers = Business(contract, settings, options).average_batch()
        self._pulse = Pulse(heartbeat_path(settings, "demo_drift"))
        self._client = ApiClient(
            *(settings.api_url, contract.answer, contract.target.name, self._pulse),
            _GIVE_UP_SECONDS,
        )
        self._failure: Exception | None = None
        self._first = ""
        self._thread = threading.Thread(target=self._send, name="sender", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pulse.order_stop()
        self._thread.join()
        self._client.close()
        self._pulse.end()

    def first(self) -> str:
        """Prediction id of the first customer; empty: it is not answered yet."""
        self._check()
        return self._first

    def done(self) -> bool:
        """Whether all were answered."""
        self._check()
        return not self._thread.is_alive()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _send(self) -> None:
        try:
            for customer in self._customers:
                answer = self._client.predict(customer)
                if answer is None:
                    return
                self._first = self._first or answer.prediction_id
        except Exception as error:  # noqa: BLE001 - raised again by whoever looks
            self._failure = error


class Reporter:
    """Runs the reporting flow, as `make report` does.

    Args:
        settings: Where reports are kept and shown.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._before = self._newest()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "reporting.quick_run"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # The flow run itself is Prefect's, and goes on.
        if self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()

    def verdict(self) -> str:
        """What the report says, and where it is; empty: it is still being made.

        Raises:
            StackError: there will be none.
        """
        if self._process.poll() is None:
            return ""
        output, _ = self._process.communicate()
        report = self._newest()
        if self._process.returncode or report is None or report == self._before:
            raise StackError(f"there is no report:\n{output.strip()}")
        return f"{report.verdict}: {self._settings.reports_url}/{report.html}"

    def _newest(self) -> Report | None:
        with ReportStore(self._settings.mongo_uri) as store:
            return next(iter(store.newest(1)), None)


class Table:
    """Steps with the seconds since the beginning; on a terminal the current one is counted up.

    Args:
        say: Prints; the second argument says whether the line is over.
        live: Whether it is a terminal.
    """

    def __init__(self, say: Callable[[str, str], None], *, live: bool) -> None:
        self._say, self._live = say, live
        self._began = self._before = time.monotonic()
        self._say(f"   {'':<40} {'after':>8} {'took':>8}", "\n")

    def follow(self, title: str, look: Callable[[], str]) -> None:
        """Looks until there is something to see.

        Args:
            title: What is waited for.
            look: Returns what there is to see; empty: nothing yet.

        Raises:
            StackError: it does not come.
        """
        while not (seen := look()):
            waited = time.monotonic() - self._before
            if waited > _STEP_SECONDS:
                raise StackError(f"{title}: not within {_STEP_SECONDS:.0f} s; see make status")
            if self._live:
                self._say(f"\r   {title:<40} {'...':>8} {waited:6.1f} s", "")
            time.sleep(_POLL_SECONDS)
        now = time.monotonic()
        line = f"   {title:<40} {now - self._began:6.1f} s {now - self._before:6.1f} s   {seen}"
        self._say(f"\r{line}" if self._live else line, "\n")
        self._before = now


def demo_drift(name: str) -> None:
    """Shows a drift's way through the running stack.

    Args:
        name: Of the drift; empty: the first one of the contract's.

    Raises:
        MlstackError: the stack is not up, there is no such drift, or nobody notices it.
    """
    settings = environments.load(ENVIRONMENT)
    contract = Contract.load(settings.contract_path)
    path = drifts_path(settings.contract_path)
    name = name or next(iter(load_drifts(contract, path)))
    drift = load_drift(contract, path, name)
    stack = Stack(settings, contract)
    stack.require()
    lack = stack.lack_of_alerts()
    _say(f"== Drift {name}: {drift.meaning}")
    _say(
        f"   It is about {drift.share:.0%} of the customers, and about {', '.join(drift.features)}"
    )
    if lack:
        _say(f"   No alert will be shown: {lack}")
    _calm(stack, settings, contract, alerts=not lack)
    _say(f"\n== {settings.monitor_window_rows:,} customers who have changed, one after the other")
    table = Table(lambda text, end: print(text, end=end, flush=True), live=sys.stdout.isatty())  # noqa: T201
    with Sender(settings, contract, name) as sender:
        table.follow("the first one is answered", sender.first)
        table.follow("stored in MongoDB", lambda: _if(stack.is_stored(sender.first()), "yes"))
        table.follow("drift in the gauges of /metrics", lambda: _drifted(stack, sender))
        if not lack:
            table.follow(f"alert {ALERT} fires", lambda: _if(stack.fires(), "yes"))
        table.follow("all of them are answered", lambda: _if(sender.done(), f"{sender.count:,}"))
    with Reporter(settings) as reporter:
        table.follow("a report is made", reporter.verdict)
    _say("\n".join(_closing(settings, stack.services, alerts=not lack)))


def _calm(stack: Stack, settings: Settings, contract: Contract, *, alerts: bool) -> None:
    """Has ordinary customers fill the window, unless it is calm already."""

    def calm() -> bool:
        return stack.gauges().drifted is False and not (alerts and stack.fires())

    if calm():
        return
    _say(f"\n== First {settings.monitor_window_rows:,} ordinary customers: the window is not calm")
    with Sender(settings, contract, None) as sender:
        _wait(sender.done, "the server answers too slowly")
    _wait(
        calm,
        "ordinary customers count as drifted too: the model was trained on others, or somebody "
        "sends drifted ones. The monitoring service's page has the features",
    )
    _say("   the window is calm")


def _wait(condition: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + _STEP_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise StackError(otherwise)
        time.sleep(_POLL_SECONDS)


def _drifted(stack: Stack, sender: Sender) -> str:
    sender.first()  # raises when it can not send any more
    gauges = stack.gauges()
    return ", ".join(gauges.features) if gauges.drifted else ""


def _if(happened: bool, then: str) -> str:  # noqa: FBT001 - it reads as a sentence
    return then if happened else ""


def _closing(settings: Settings, services: dict[str, Service], *, alerts: bool) -> Iterator[str]:
    monitor = services["evidently_service"].address
    yield "\nOpen:"
    yield f"  what drifted  {monitor}/"
    yield f"  the gauges    {monitor}/metrics"
    if alerts:
        yield f"  the alert     {services['prometheus'].address}/ (there: Alerts)"
    yield f"  all reports   {services['nginx'].address}/"
    yield (
        f"The next {settings.monitor_window_rows:,} ordinary customers calm it again; the "
        "simulators send some every minute."
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - what the target shows


if __name__ == "__main__":
    try:
        demo_drift(sys.argv[1] if len(sys.argv) > 1 else "")
    except MlstackError as error:
        sys.exit(f"\n{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped. The stack runs on.")
