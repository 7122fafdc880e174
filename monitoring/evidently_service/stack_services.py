"""The services of the stack: what people call them, where they open them, and their probes.

`STACK_SERVICES` and similar settings list them, one a line: the service's name, then one or more
pairs of a probe of `mlstack.probes` and its target. Instead of a probe there may be `heartbeat`,
followed by a service of `mlstack.heartbeat`, or `left_out`, followed by the reason.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from mlstack.errors import SettingsError
from mlstack.heartbeat import HEARTBEATS, check_any_host
from mlstack.probes import PROBES, Answer, Probe
from mlstack.settings import Settings


@dataclass(frozen=True, slots=True)
class Shown:
    """How a service is shown.

    Args:
        title: What people call it.
        purpose: What it is there for, as part of a sentence.
        address: Where people find it; empty if it has no port.
        opens: Whether a browser shows something there.
        optional: Whether everything else works without it. Not every machine can pull its image.
    """

    title: str
    purpose: str = ""
    address: Callable[[Settings], str] = lambda _: ""
    opens: bool = True
    optional: bool = False


@dataclass(frozen=True, slots=True)
class StackService:
    """A service of this environment.

    Args:
        name: Its name in commands, such as `make logs service=NAME`.
        shown: How it is shown.
        probes: All of them must say that it is ready.
        left_out: Why it does not run here; empty if it should.
    """

    name: str
    shown: Shown
    probes: tuple[Probe, ...] = ()
    left_out: str = ""

    def probe(self) -> Answer:
        """Return the first answer that is not ready, else the first one."""
        answers = [probe() for probe in self.probes]
        return next((answer for answer in answers if not answer.ready), answers[0])


MLFLOW = ("mlflow", "mlflow_server")
"""MLflow's names: with and without Docker it has another one."""

_MLFLOW = Shown("MLflow", "runs, models and their versions", lambda s: s.mlflow_url)
_PREFECT = Shown("Prefect", "flows, their schedules and runs", lambda s: s.prefect_url)
_AWS = Shown(
    "AWS emulator", "tables and streams", lambda s: f"http://127.0.0.1:{s.aws_port}", opens=False
)
_SHOWN: Mapping[str, Shown] = {
    **dict.fromkeys(MLFLOW, _MLFLOW),
    "prefect-server": _PREFECT,
    "prefect_server": _PREFECT,
    "agent": Shown("Prefect worker", "runs training, reports and retention"),
    "aws": _AWS,
    "localstack": _AWS,
    "aws-keeper": Shown("AWS keeper", "restores what the emulator forgets"),
    "mongo": Shown(
        "MongoDB",
        "predictions, outcomes and reports",
        lambda s: f"mongodb://127.0.0.1:{s.mongo_port}",
        opens=False,
    ),
    "model-server-api": Shown(
        "HTTP server", "predictions over HTTP, and a form", lambda s: s.page(s.api_port, "")
    ),
    "load-balancer": Shown(
        "Load balancer",
        "shares requests among the HTTP servers",
        lambda s: s.page(s.api_port, ""),
    ),
    "model-server-streams": Shown(
        "Stream server",
        "predictions on Kinesis",
        lambda s: f"{s.page(s.stream_metrics_port)}/metrics",
    ),
    "log-keeper": Shown(
        "Log keeper",
        "moves predictions to MongoDB",
        lambda s: f"{s.page(s.keeper_metrics_port)}/metrics",
    ),
    "deployment-member": Shown(
        "Deployment member", "shares the deployed model with other machines"
    ),
    "send_data-api": Shown("HTTP simulator", "sends made-up customers"),
    "send_data-kinesis": Shown("Stream simulator", "sends made-up customers"),
    # Only who asks knows at which port it is published; see `FrontPage`.
    "evidently_service": Shown("Monitoring", "drift, quality, and this page"),
    "prometheus": Shown("Prometheus", "metrics and alerts", lambda s: s.prometheus_page),
    "alertmanager": Shown(
        "Alertmanager", "who was told about alerts, and silences", lambda s: s.alertmanager_page
    ),
    "grafana": Shown(
        "Grafana", "dashboards", lambda s: s.page(s.grafana_port, "grafana"), optional=True
    ),
    "nginx": Shown("Reports", "the report browser", lambda s: s.reports_url),
    "dask-scheduler": Shown(
        "Dask scheduler",
        "hands the trials of a search to workers",
        lambda s: f"http://127.0.0.1:{s.dask_dashboard_port}",
    ),
    "dask-worker": Shown("Dask worker", "trains the trials of a search"),
    "proxy": Shown("Proxy", "encrypted access", lambda s: f"https://{s.public_host}"),
}


def read_services(settings: Settings) -> list[StackService]:
    """Read `STACK_SERVICES`, then those that further compose files add.

    Raises SettingsError with the line that cannot be read.
    """
    texts = [settings.stack_services, settings.stack_services_servers]
    if settings.train_workers:
        texts.append(settings.stack_services_dask)
    lines = "\n".join(texts).splitlines()
    return [_service(line, settings) for line in lines if line.strip()]


def _service(line: str, settings: Settings) -> StackService:
    try:
        name, *words = shlex.split(line)
        # Several of a kind have numbers.
        shown = _SHOWN.get(re.sub(r"-\d+$", "", name), Shown(name))
        pairs = list(zip(words[::2], words[1::2], strict=True))
        if pairs[0][0] == "left_out":
            return StackService(name, shown, left_out=pairs[0][1])
        return StackService(name, shown, tuple(_probe(*pair, settings) for pair in pairs))
    except (KeyError, IndexError, ValueError) as error:
        raise SettingsError(
            f"STACK_SERVICES: {line!r} is not a service with probes ({error})"
        ) from error


def _probe(name: str, target: str, settings: Settings) -> Probe:
    if name == "heartbeat" and target in HEARTBEATS:
        return partial(check_any_host, target, settings)
    return partial(PROBES[name], target)
