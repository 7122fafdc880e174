"""Define the embedded services that watch the others, and tell people."""

import shutil
from functools import partial

from mlstack.probes import monitor_watches, url_answers
from mlstack.settings import Settings
from operations.alerting import configuration
from operations.containers import credentials
from operations.embedded.layout import STACK
from operations.embedded.service import MONITORING, Service, module, url

_TEMPLATES = "../monitoring/alertmanager/messages.tmpl"
"""Relative to the configuration, because Alertmanager takes paths for patterns."""


def monitoring_services(settings: Settings) -> tuple[Service, ...]:
    """Return the services of the group `monitoring`."""
    bind = settings.bind_address
    monitor = url(settings.evidently_port)
    prometheus = url(settings.prometheus_port)
    alertmanager = url(settings.alertmanager_port)
    reports = url(settings.reports_port)
    # Debian's name, and that of everybody else.
    program = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
    return (
        Service(
            name="evidently_service",
            group=MONITORING,
            command=module(
                *("gunicorn", "-c", "monitoring/evidently_service/gunicorn_conf.py"),
                "monitoring.evidently_service.app:app",
            ),
            follows_settings=True,
            probe=partial(monitor_watches, monitor),
            address=monitor,
            host=bind,
            port=settings.evidently_port,
            port_variable="EVIDENTLY_PORT",
        ),
        Service(
            name="prometheus",
            group=MONITORING,
            command=module("operations.embedded.prometheus"),
            follows_settings=True,
            # Probe a query, because being up says little.
            probe=partial(url_answers, f"{prometheus}/api/v1/query?query=up"),
            address=prometheus,
            host=bind,
            port=settings.prometheus_port,
            port_variable="PROMETHEUS_PORT",
            lacks="" if shutil.which("prometheus") else _missing("prometheus", "there are no"),
            stop_seconds=30,
        ),
        Service(
            name="alertmanager",
            group=MONITORING,
            command=(
                program or "alertmanager",
                # Relative to the project's root, for the same reason as the templates.
                f"--config.file={credentials.FOLDER.name}/{credentials.ALERTMANAGER}",
                f"--storage.path={STACK / 'alertmanager'}",
                f"--web.listen-address={bind}:{settings.alertmanager_port}",
                f"--web.external-url={settings.alertmanager_page}",
                # There is no second one to agree with.
                "--cluster.listen-address=",
            ),
            configure=partial(configuration.write, settings, _TEMPLATES),
            probe=partial(url_answers, f"{alertmanager}/-/ready"),
            address=alertmanager,
            host=bind,
            port=settings.alertmanager_port,
            port_variable="ALERTMANAGER_PORT",
            lacks="" if program else _missing("prometheus-alertmanager", "nobody is told about"),
        ),
        Service(
            name="nginx",
            group=MONITORING,
            command=module("operations.embedded.report_browser"),
            follows_settings=True,
            probe=partial(url_answers, f"{reports}/"),
            address=reports,
            host=bind,
            port=settings.reports_port,
            port_variable="REPORTS_PORT",
        ),
    )


def _missing(package: str, so: str) -> str:
    return (
        f"{package} is not installed, so {so} alerts: apt-get install --no-install-recommends "
        f"{package} (and, where Debian has started one of its own: systemctl disable --now "
        f"{package})"
    )
