"""Searches on a Dask cluster: the same models, whatever happens to the workers.

The tests of this file share one cluster and follow each other.
"""

import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from distributed import Client

from mlstack.probes import dask_has_workers
from model_orchestration import dask_engine
from model_orchestration.dask_cluster import Cluster
from model_orchestration.dask_engine import ClusterError, DaskEngine
from model_orchestration.search import search
from model_orchestration.trials import Trial
from operations import dask_certificates
from tests.support.dask_nodes import DaskNodes
from tests.support.search_rows import TARGET, TRAIN, VALIDATION, search_rows
from tests.support.waiting import wait_until

TRIALS = 40


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskNodes]:
    """A cluster, at first without workers."""
    with DaskNodes(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


Learnt = list[tuple[int, dict[str, Any], bytes]]


def _search(cluster: Cluster | None, on_trial: Callable[[Trial], None] | None = None) -> Learnt:
    """Return number, parameters and model of each trial, in the order of their report."""
    learnt: Learnt = []

    def report(trial: Trial, _: Trial | None) -> None:
        assert trial.booster is not None
        # Threads do not change the models, so their number is not compared.
        params = {**trial.params, "nthread": 1}
        learnt.append((trial.number, params, bytes(trial.booster.save_raw("ubj"))))
        if on_trial is not None:
            on_trial(trial)

    search(
        *(TRAIN, VALIDATION, TARGET),
        trials=TRIALS,
        seed=1,
        on_trial=report,
        open_engine=partial(DaskEngine, cluster=cluster) if cluster else None,
    )
    return learnt


@cache
def _on_threads() -> Learnt:
    return _search(None)


@contextmanager
def _client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster.address, security=cluster.security(), set_as_default=False) as client:
        yield client


def test_scheduler_counts_its_workers(nodes: DaskNodes) -> None:
    """The front page asks it, because containers keep their heartbeats to themselves."""
    assert dask_has_workers(nodes.dashboard).detail == "none has reached the scheduler"


def test_search_without_workers_fails(nodes: DaskNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "_WORKERLESS_SECONDS", 1)
    with pytest.raises(ClusterError, match="has had no worker for 1 s: start one"):
        _search(nodes.cluster)


def test_threads_one_worker_and_three_find_the_same(nodes: DaskNodes) -> None:
    """The same seed gives the same models, wherever and in which order trials end."""
    nodes.start_workers("a")
    assert _search(nodes.cluster) == _on_threads()
    nodes.start_workers("b", "c")
    assert dask_has_workers(nodes.dashboard).detail == "3 workers"
    assert _search(nodes.cluster) == _on_threads()


def test_killed_workers_lose_only_their_trials(nodes: DaskNodes) -> None:
    """What they trained is trained again, also where all of them die, and is reported once."""

    def kill(trial: Trial) -> None:
        if trial.number == 3:
            nodes.kill("a")
        if trial.number == 10:
            nodes.kill("b")
            nodes.kill("c")
            nodes.start_workers("a")

    assert _search(nodes.cluster, on_trial=kill) == _on_threads()


def test_workers_forget_a_search_that_has_ended(nodes: DaskNodes) -> None:
    """A trial that nobody needs any more stops, and the rows leave the worker."""
    large = search_rows(200_000, seed=1)
    with _client(nodes.cluster) as client:

        def seen() -> tuple[bool, bool]:
            [found] = client.run(
                lambda dask_worker: (
                    bool(dask_worker.active_threads),
                    any(name.startswith("mlstack-rows") for name in dask_worker.plugins),
                )
            ).values()
            return tuple(found)

        engine = DaskEngine(large, large, TARGET, nodes.cluster)
        # It learns so slowly that it would use all its rounds, which takes a minute.
        engine.start(1, 1, {"eta": 1e-6, "max_depth": 8, "seed": 1}, np.inf)
        wait_until(lambda: seen() == (True, True), "the trial trains")
        engine.close()
        wait_until(lambda: seen() == (False, False), "the worker is free", seconds=15)


def test_strangers_are_refused(nodes: DaskNodes, tmp_path: Path) -> None:
    """Whoever reaches a port of Dask could run code: scheduler and workers ask who it is."""
    dask_certificates.draw(tmp_path / "another")
    with _client(nodes.cluster) as client:
        addresses = [nodes.cluster.address, *client.scheduler_info()["workers"]]
    assert len(addresses) == 2
    for port in (urlsplit(address).port or 0 for address in addresses):
        assert _knock(port, nodes.cluster.certificate)
        for certificate in (None, tmp_path / "another/worker.pem"):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                _knock(port, certificate)
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            with suppress(ConnectionResetError):
                assert plain.recv(1000) == b""


def _knock(port: int, certificate: Path | None) -> bytes:
    """Return what a member of the cluster says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
        context.wrap_socket(connection) as encrypted,
    ):
        return encrypted.recv(1000)


def test_search_trusts_no_other_authority(
    nodes: DaskNodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sends the table to no scheduler that cannot prove to be its own."""
    monkeypatch.setattr(dask_engine, "_CONNECT_SECONDS", 2)
    dask_certificates.draw(tmp_path / "another")
    stranger = Cluster(nodes.cluster.address, tmp_path / "another/worker.pem")
    with pytest.raises(ClusterError, match=r"cannot be reached .*DASK_CERTIFICATE"):
        _search(stranger)


def test_hanging_scheduler_fails_the_search(
    nodes: DaskNodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open, so it must be asked."""
    monkeypatch.setattr(dask_engine, "_ANSWER_SECONDS", 1)
    monkeypatch.setattr(dask_engine, "_CLOSE_SECONDS", 1)

    def hang(trial: Trial) -> None:
        if trial.number == 3:
            nodes.scheduler.send_signal(signal.SIGSTOP)

    try:
        with pytest.raises(ClusterError, match="is gone"):
            _search(nodes.cluster, on_trial=hang)
    finally:
        nodes.scheduler.send_signal(signal.SIGCONT)


def test_lost_scheduler_fails_the_search(nodes: DaskNodes) -> None:
    """The run ends with a sentence, not with a wait."""

    def kill(trial: Trial) -> None:
        if trial.number == 3:
            nodes.scheduler.kill()

    began = time.monotonic()
    with pytest.raises(ClusterError, match=r"scheduler tls://\S+ is gone, or was restarted"):
        _search(nodes.cluster, on_trial=kill)
    assert time.monotonic() - began < 60


def test_absent_scheduler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_engine, "_CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match=r"scheduler tls://\S+ cannot be reached"):
        _search(DaskNodes(tmp_path).cluster)
