"""Prepare the values of the stack's front page.

A request only reads answers that threads have received before; see `watch`.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from mlstack.contract import Contract
from mlstack.deployment.record import Record
from mlstack.errors import DeploymentError
from mlstack.model.mlflow_api import experiment_address
from mlstack.model.mlflow_lookup import Version, find_experiment, find_version
from mlstack.prediction_log.mongo_database import mongo_client, plain_reason
from mlstack.probes import Answer
from mlstack.quality.report_head import newest_report
from mlstack.quality.results import Quality, explain_outcomes, headline
from mlstack.settings import Settings
from monitoring.evidently_service.alerts import firing_alerts
from monitoring.evidently_service.monitor import Monitor
from monitoring.evidently_service.page import Page
from monitoring.evidently_service.stack_services import MLFLOW, StackService, read_services
from monitoring.evidently_service.watch import Watch

QUALITY_FELL = 1.2
"""Quality has fallen if the error is over this many times that at training, as in the alert."""

_MONGO_SECONDS = 5.0
_MAX_ALERTS = 20


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """A service as the page shows it.

    Args:
        address: Where people find it; empty if it has no port.
        link: What its address opens; empty if a browser shows nothing there.
        ready: None if that is not known yet.
        detail: What it serves, or why it is not ready.
    """

    service: StackService
    address: str
    link: str
    ready: bool | None
    detail: str

    @property
    def state(self) -> Literal["ready", "bad", "unknown", "absent"]:
        """The state in one word."""
        if self.service.left_out:
            return "absent"
        if self.ready is None:
            return "unknown"
        return "ready" if self.ready else "bad"


@dataclass(frozen=True, slots=True)
class TrackedModel:
    """What MLflow says about the deployed run; what is empty is not known, or does not exist."""

    run_id: str = ""
    experiment_id: str = ""
    version: Version | None = None


def age(time: timedelta) -> str:
    """Write an age as people say it, in its largest unit."""
    seconds = max(0.0, time.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    return f"{seconds:.0f} s"


class FrontPage:
    """The front page; raises SettingsError if `STACK_SERVICES` or `MONGO_URI` cannot be used."""

    def __init__(
        self, settings: Settings, contract: Contract, monitor: Monitor, drift: Page
    ) -> None:
        self._settings, self._contract = settings, contract
        self._monitor, self._drift = monitor, drift
        self._mongo = mongo_client(settings.mongo_uri, _MONGO_SECONDS)
        services = read_services(settings)
        self._probes: list[tuple[StackService, Watch[Answer]]] = [
            (service, Watch(service.name, service.probe)) for service in services
        ]
        self._report = Watch("report", lambda: newest_report(self._mongo, contract.name))
        self._tracked = Watch("tracked model", self._find_tracked)
        self._alerts = Watch("alerts", lambda: firing_alerts(settings.prometheus_url))
        self._no_alerts = next((s.left_out for s in services if s.name == "prometheus"), "")
        self._stopping = threading.Event()

    def start(self) -> None:
        """Start to ask the other services."""
        for service, watch in self._probes:
            if not service.left_out:
                watch.start(self._stopping)
        self._report.start(self._stopping)
        self._tracked.start(self._stopping)
        if not self._no_alerts:
            self._alerts.start(self._stopping)

    def stop(self) -> None:
        """Stop asking."""
        self._stopping.set()
        self._mongo.close()

    def template_values(self, own_address: str) -> dict[str, Any]:
        """Return the values for the template; `own_address` is where the browser found it."""
        record, record_fault = self._record()
        tracked = self._tracked.read()[0] or TrackedModel()
        mlflow_page = experiment_address(self._settings.mlflow_url, tracked.experiment_id)
        links = {"evidently_service": own_address, **dict.fromkeys(MLFLOW, mlflow_page)}
        services = [self._row(service, watch, links) for service, watch in self._probes]
        alerts, alerts_fault = self._alerts.read()
        if alerts is None or alerts_fault:
            alerts = []  # old ones may have ended
        report, report_fault = self._report.read()
        quality = self._quality()
        problems = list(self._problems(services, len(alerts), quality))
        if record is None and not self._settings.run_id:
            problems.insert(0, record_fault or "no model is deployed")
        waiting = self._drift.status() == "waiting"
        return {
            "contract": self._contract,
            "now": datetime.now(UTC),
            "status": "bad" if problems else "waiting" if waiting else "good",
            "problems": problems,
            "record": record,
            "record_fault": record_fault,
            "tracked": tracked if record and record.run_id == tracked.run_id else None,
            "mlflow_page": mlflow_page,
            "drift": self._drift_sentence(),
            "quality": quality,
            "report": report,
            "report_fault": plain_reason(report_fault),
            "reports_page": self._settings.reports_url,
            "alerts": alerts[:_MAX_ALERTS],
            "more_alerts": max(0, len(alerts) - _MAX_ALERTS),
            "alerts_fault": self._no_alerts or alerts_fault,
            "alerts_page": f"{self._settings.prometheus_page}/alerts",
            "services": services,
            "api_page": self._settings.page(self._settings.api_port, ""),
        }

    def _record(self) -> tuple[Record | None, str]:
        try:
            return self._monitor.deployment.record(), ""
        except (DeploymentError, OSError) as error:
            return None, str(error)

    def _find_tracked(self) -> TrackedModel:
        record, _ = self._record()
        if record is None:
            return TrackedModel(experiment_id=find_experiment(self._contract.name))
        run_id = record.run_id
        experiment_id = find_experiment(self._contract.name, run_id)
        return TrackedModel(run_id, experiment_id, find_version(run_id))

    def _row(
        self, service: StackService, watch: Watch[Answer], links: Mapping[str, str]
    ) -> ServiceRow:
        if service.left_out:
            return ServiceRow(service, "", "", None, service.left_out)
        link = links.get(service.name, "")
        address = service.shown.address(self._settings) or link
        link = link or (address if service.shown.opens else "")
        answer, fault = watch.read()
        if answer is None:
            return ServiceRow(service, address, link, None, fault)
        if fault:
            return ServiceRow(service, address, link, ready=False, detail=fault)
        return ServiceRow(service, address, link, answer.ready, answer.detail)

    def _drift_sentence(self) -> str:
        calculation = self._monitor.state.calculation
        if calculation and not calculation.drift.drifted and self._drift.status() == "drifted":
            return "the predictions have drifted, although no feature has"
        return self._drift.verdict()

    def _quality(self) -> "QualityVerdict":
        state = self._monitor.state
        if state.calculation is None or state.calculator is None:
            return QualityVerdict("not measured yet")
        measured, reference = state.calculation.measured, state.calculator.reference.quality
        if self._monitor.storage_fault:
            return QualityVerdict("MongoDB does not answer, so new outcomes are not known")
        if measured is None:
            return QualityVerdict(explain_outcomes(state.calculation.outcomes))
        return compare_quality(measured, reference, state.calculation.outcomes)

    def _problems(
        self,
        services: list[ServiceRow],
        alerts: int,
        quality: "QualityVerdict",
    ) -> Iterator[str]:
        match self._drift.status():
            case "drifted":
                yield self._drift_sentence()
            case "failing":
                yield f"drift cannot be calculated: {self._monitor.state.reason}"
        if quality.fell:
            yield "the quality of the model has fallen"
        if alerts:
            yield "1 alert fires" if alerts == 1 else f"{alerts} alerts fire"
        shown = [row.service.shown for row in services if row.state == "bad"]
        if bad := [each.title for each in shown if not each.optional]:
            yield f"not ready: {', '.join(bad)}"


@dataclass(frozen=True, slots=True)
class QualityVerdict:
    """Quality in a sentence, without a full stop, and whether it has fallen since training."""

    sentence: str
    fell: bool = False


def compare_quality(measured: Quality, reference: Quality | None, outcomes: int) -> QualityVerdict:
    """Compare measured quality with that at training; `outcomes` is the number behind it."""
    figures = ", ".join(f"{name} {value}" for name, value in measured.figures().items())
    sentence = f"{figures}, on {outcomes:,} outcomes"
    before = None if reference is None else headline(reference)[1]
    if not before:
        return QualityVerdict(sentence)
    ratio = headline(measured)[1] / before
    sentence = f"the error is {ratio:.2f} times that at training: {sentence}"
    return QualityVerdict(sentence, ratio > QUALITY_FELL)
