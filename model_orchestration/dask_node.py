"""Run a scheduler or a worker of the Dask cluster that searches train on.

Usage: python -m model_orchestration.dask_node scheduler
       python -m model_orchestration.dask_node worker [NAME]

A worker that loses its scheduler ends, and its supervisor starts it again.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

import dask
from distributed import Scheduler, SchedulerPlugin, Worker
from distributed.core import Status
from distributed.utils import get_ip

from mlstack import command_line, heartbeat
from mlstack.errors import MlstackError
from mlstack.settings import Settings
from model_orchestration.dask_cluster import Cluster
from model_orchestration.dask_trials import rows_name

_CONFIGURATION: Final = {
    # After more deaths of its workers than this, a trial counts as their cause.
    "distributed.scheduler.allowed-failures": 9,
    # The trials of a worker that hangs begin again elsewhere.
    "distributed.scheduler.worker-ttl": "60s",
    # A worker has the rows once, and no results that it could move to the disk.
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
}
_LOOPBACK: Final = "127.0.0.1"
_CONNECT_SECONDS: Final = 60
_BEAT_SECONDS: Final = 1
_CLOSE_SECONDS: Final = 5


class NodeError(MlstackError):
    """A scheduler or worker cannot run."""


class ForgetRows(SchedulerPlugin):
    """Frees the rows of a search on every worker once its process has ended, even by a crash."""

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """Unregister the rows that the client has sent, if any."""
        name = rows_name(client)
        if name in scheduler.worker_plugins:
            self._removal = asyncio.create_task(scheduler.unregister_worker_plugin(None, name))


def start_scheduler(settings: Settings) -> Scheduler:
    """Return a scheduler, which listens on the port of `DASK_SCHEDULER`."""
    cluster = Cluster.of(settings)
    # The dashboard has no login. A container's is published on the loopback interface.
    page = f"{settings.listen_address or _LOOPBACK}:{settings.dask_dashboard_port}"
    return Scheduler(
        host=settings.listens_on,
        port=urlsplit(cluster.address).port or 0,
        protocol="tls",
        security=cluster.security(),
        dashboard_address=page,
        plugins=[ForgetRows()],
    )


def start_worker(settings: Settings, name: str) -> Worker:
    """Return a worker, which trains one trial at a time."""
    cluster = Cluster.of(settings)
    return Worker(
        cluster.address,
        # Only where the scheduler is: on loopback if that is there too.
        host=get_ip(urlsplit(cluster.address).hostname),
        security=cluster.security(),
        nthreads=1,
        # A restarted worker may be back before the scheduler misses it.
        name=f"{name}-{os.getpid()}",
        death_timeout=_CONNECT_SECONDS,
        # Its own page shows nothing that the dashboard does not.
        dashboard_address=f"{_LOOPBACK}:0",
    )


async def serve(node: Scheduler | Worker, beat: Callable[[], None]) -> None:
    """Run a node until SIGTERM or SIGINT; call `beat` every second while it works.

    Raises NodeError if it cannot start, or ends by itself.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stopped = asyncio.create_task(stop.wait())
    ended = asyncio.create_task(_run(node))
    while not (stopped.done() or ended.done()):
        if node.status == Status.running:
            beat()
        await asyncio.wait(
            {stopped, ended}, timeout=_BEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
    if ended.done():
        ended.result()
        raise NodeError("it has lost the connection to the scheduler")
    if node.status == Status.running:
        with suppress(TimeoutError):
            await asyncio.wait_for(node.close(), _CLOSE_SECONDS)


async def _run(node: Scheduler | Worker) -> None:
    try:
        await node
    except OSError as error:  # a time limit too
        raise NodeError(f"it cannot start: {error}") from error
    await node.finished()  # type: ignore[no-untyped-call] # of the union mypy does not know the package


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the node that the command line names."""
    parser = command_line.argument_parser("model_orchestration.dask_node", __doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("scheduler")
    # Each container has another host name.
    kinds.add_parser("worker").add_argument("name", nargs="?", default=os.uname().nodename)
    options = parser.parse_args(arguments)
    settings = Settings.load()
    dask.config.set(_CONFIGURATION)
    command_line.log_to_stderr()

    async def run() -> None:
        if options.kind == "scheduler":
            await serve(start_scheduler(settings), lambda: None)
        else:
            beats = heartbeat.dask_worker(settings, options.name)
            await serve(start_worker(settings, options.name), beats.beat)
            beats.remove()

    asyncio.run(run())
    # Otherwise the process would wait for the thread of a trial.
    os._exit(0)


if __name__ == "__main__":
    command_line.run(main)
