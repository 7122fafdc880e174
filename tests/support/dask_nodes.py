"""A Dask cluster on loopback: scheduler and workers as the stack runs them."""

import subprocess
import sys
from pathlib import Path
from typing import Self

from mlstack.heartbeat import dask_worker
from mlstack.probes import url_answers
from mlstack.settings import ROOT, Settings
from model_orchestration.dask_cluster import Cluster
from operations import dask_certificates
from tests.support.ports import free_ports
from tests.support.server_environment import server_environment
from tests.support.waiting import wait_until

_START_SECONDS = 90


class DaskNodes:
    """A scheduler, which the context manager starts, and workers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        port, self._dashboard_port = free_ports(2)
        self.dashboard = f"http://127.0.0.1:{self._dashboard_port}"
        dask_certificates.draw(folder / "dask")
        self.cluster = Cluster(f"tls://127.0.0.1:{port}", folder / "dask/worker.pem")
        self.scheduler: subprocess.Popen[bytes]
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self.start_scheduler()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self.workers.values(), self.scheduler):
            process.kill()
        for process in (*self.workers.values(), self.scheduler):
            process.wait()

    def start_scheduler(self) -> None:
        """Start the scheduler and wait until it listens."""
        self.scheduler = self._start("scheduler")
        url = f"{self.dashboard}/health"
        wait_until(lambda: url_answers(url).ready, "the scheduler answers", _START_SECONDS)

    def start_workers(self, *names: str) -> None:
        """Start workers and wait until the scheduler has them."""
        beats = [dask_worker(Settings(state_dir=self._folder), name) for name in names]
        for beat, name in zip(beats, names, strict=True):
            beat.remove()
            self.workers[name] = self._start("worker", name)
        wait_until(
            lambda: all(beat.check().ready for beat in beats),
            f"{names} have a scheduler",
            _START_SECONDS,
        )

    def kill(self, name: str) -> None:
        """Kill a worker."""
        self.workers[name].kill()
        self.workers[name].wait()

    def _start(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self._folder / f"{'-'.join((kind, *arguments))}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "model_orchestration.dask_node", kind, *arguments],
                cwd=ROOT,
                env=server_environment(
                    self._folder,
                    DASK_SCHEDULER=self.cluster.address,
                    DASK_DASHBOARD_PORT=str(self._dashboard_port),
                    DASK_CERTIFICATE=str(self.cluster.certificate.with_name(f"{kind}.pem")),
                ),
                stdout=log,
                stderr=log,
            )
