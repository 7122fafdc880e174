"""Define the Dask cluster of the embedded environment, if searches train on one."""

from functools import partial
from importlib.util import find_spec

from mlstack import heartbeat
from mlstack.probes import url_answers
from mlstack.settings import Settings
from operations.embedded.service import MODEL_REGISTRY, Service, module, url

_NO_DASK = "Dask is not installed, and TRAIN_ENGINE=dask needs it: set EXTRA_PACKAGES=dask as well"


def dask_services(settings: Settings) -> tuple[Service, ...]:
    """Return scheduler and workers, if the stack has a cluster of its own."""
    if not settings.has_dask_cluster:
        return ()
    lacks = "" if find_spec("distributed") else _NO_DASK
    dashboard = url(settings.dask_dashboard_port)
    node = "model_orchestration.dask_node"
    scheduler = Service(
        name="dask-scheduler",
        group=MODEL_REGISTRY,
        command=module(node, "scheduler"),
        environment={"DASK_CERTIFICATE": str(settings.dask_certificate.with_name("scheduler.pem"))},
        follows_settings=True,
        probe=partial(url_answers, f"{dashboard}/health"),
        address=dashboard,
        port=settings.dask_dashboard_port,
        port_variable="DASK_DASHBOARD_PORT",
        lacks=lacks,
    )
    names = [f"dask-worker-{number}" for number in range(1, settings.train_workers + 1)]
    return (
        scheduler,
        *(
            Service(
                name=name,
                group=MODEL_REGISTRY,
                command=module(node, "worker", name),
                follows_settings=True,
                probe=heartbeat.dask_worker(settings, name).check,
                # Of any worker: a search goes on with one.
                seen_as=("heartbeat", "dask_worker"),
                waits_for=f"{dashboard}/health",
                lacks=lacks,
            )
            for name in names
        ),
    )
