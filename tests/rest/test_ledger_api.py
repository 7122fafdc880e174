"""Answered means kept: the HTTP server under load while processes die around it.

The client records every answer. Afterwards MongoDB has each of them, once, with the same
value. `make test-ledger` kills more often, and hangs MongoDB for longer.
"""

import json
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from mlstack.contract import Contract
from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.prediction_log.quarantine import Quarantine
from mlstack.prediction_log.segment import Segment
from tests.support.api_server import ApiServer
from tests.support.keeper import LogKeeper, leave
from tests.support.ledger import RATE, Client, assert_ledger_holds, kept
from tests.support.models import deploy_model
from tests.support.mongo import MongoServer
from tests.support.waiting import wait_until

SECONDS = float(os.environ.get("LEDGER_SECONDS", "6"))
RECORDS = int(os.environ.get("LEDGER_RECORDS", "2000"))
KILLS = int(os.environ.get("LEDGER_KILLS", "4"))
MARK = 300 * 1024
"""Free bytes, fewer than a server leaves on the small disk."""


@pytest.fixture
def mongo(tmp_path: Path) -> Iterator[MongoServer]:
    with MongoServer(tmp_path / "mongo") as server:
        yield server


@pytest.fixture
def state(tmp_path: Path, documented: Contract) -> Path:
    state = tmp_path / "state"
    deploy_model(state, documented)
    return state


@pytest.fixture
def keeper(state: Path, mongo: MongoServer) -> Iterator[LogKeeper]:
    with LogKeeper(state, MONGO_URI=mongo.uri) as keeper:
        yield keeper


@pytest.fixture
def server(state: Path, keeper: LogKeeper) -> Iterator[ApiServer]:  # noqa: ARG001 - it runs
    with ApiServer(state) as server:
        yield server


def test_killed_workers_lose_nothing(
    server: ApiServer, mongo: MongoServer, documented: Contract
) -> None:
    """Every answer that was given is in MongoDB, once."""
    with Client(server, documented) as client:
        for _ in range(KILLS):
            client.wait_for(random.randint(1, 60), "answers come")
            random.choice(server.workers()).kill()
    assert_ledger_holds(client, mongo)
    assert client.refused == [] or set(client.refused) == {503}


def test_killed_server_loses_nothing(
    state: Path, mongo: MongoServer, keeper: LogKeeper, documented: Contract
) -> None:
    """The keeper stores what is left of a server that is gone."""
    with ApiServer(state) as server, Client(server, documented) as client:
        client.wait_for(50, "answers come")
        with mongo.stopped():
            client.wait_for(100, "answers come without MongoDB")
            for pid in (*(worker.pid for worker in server.workers()), server.process.pid):
                os.kill(pid, signal.SIGKILL)
    assert_ledger_holds(client, mongo)
    wait_until(lambda: Segment.paths(state / "spool") == [], "the spool is empty")
    assert keeper.metric("mlstack_quarantine_records") == 0


def test_killed_keeper_loses_nothing(
    mongo: MongoServer, server: ApiServer, keeper: LogKeeper, documented: Contract
) -> None:
    """Keeper, MongoDB and workers die in any order, also between storing and removing."""
    with Client(server, documented) as client:
        for number in range(KILLS):
            client.wait_for(random.randint(1, 60), "answers come")
            keeper.kill()
            mongo.kill()
            client.wait_for(50, "answers come without keeper and MongoDB")
            random.choice(server.workers()).kill()
            mongo.start()
            keeper.start(FAIL_POINT=f"stored:{number + 1}")
            wait_until(lambda: keeper.process.poll() is not None, "it dies after storing")
            keeper.start()
    assert set(client.refused) <= {503}
    assert_ledger_holds(client, mongo)


def test_second_keeper_waits(state: Path, mongo: MongoServer, keeper: LogKeeper) -> None:
    """Two keepers never store at once; the second one goes on when the first is gone."""
    keeper.metric("mlstack_spool_records")
    with LogKeeper(state, MONGO_URI=mongo.uri) as second:
        wait_until(lambda: "another keeper has the spool" in second.log.read_text(), "it waits")
        keeper.kill()
        leave(state / "spool", ("prediction", b"{"))
        wait_until(lambda: second.metric("mlstack_quarantine_records") == 1, "it goes on")


def test_unstorable_entries_hold_up_nobody(
    state: Path, mongo: MongoServer, server: ApiServer, keeper: LogKeeper, documented: Contract
) -> None:
    """Entries of every unstorable kind among many good ones: nothing lost, nothing twice."""
    bad = [
        b"{",
        b'{"_id": "no time"}',
        b'{"_id": "bad time", "created_at": "yesterday"}',
        b'{"_id": "no zone", "created_at": "2026-01-01T00:00:00"}',
        b'{"_id": 7, "created_at": "2026-01-01T00:00:00+00:00"}',
        b'{"_id": "nul\\u0000key", "created_at": "2026-01-01T00:00:00+00:00", "a\\u0000b": 1}',
        b'{"_id": "half", "created_at": "2026-01-01T00:00:00+00:00", "a": "\\ud800"}',
        b'{"_id": "large", "created_at": "2026-01-01T00:00:00+00:00", "a": "%s"}' % (b"x" * 2**24),
        b'{"_id": "number", "created_at": "2026-01-01T00:00:00+00:00", "a": 1%s}' % (b"0" * 400),
    ]
    good = max(RECORDS, 2000)
    with Client(server, documented) as client:
        leave(state / "spool", *_mixed(good, bad), ("no such kind", b"{}"))
        (state / "spool" / "api-damaged.spool").write_bytes(b"damaged" * 1000)
        client.wait_for(100, "answers come")
    assert client.refused == []
    wait_until(lambda: keeper.metric("mlstack_spool_records") == 0, "the spool is empty", 120)
    ids = {f"good-{number}" for number in range(good)}
    assert kept(mongo).keys() == ids | client.answered.keys()
    assert_ledger_holds(client, mongo)
    found = Quarantine(state / "quarantine").entries()
    assert sorted(entry.body for entry in found) == sorted([*bad, b"{}", b"api-damaged.spool"])
    assert keeper.metric("mlstack_quarantine_records") == len(found)


def _mixed(good: int, bad: list[bytes]) -> Iterator[tuple[str, bytes]]:
    """Good predictions with the bad ones among them, each of these several times."""
    at = "2026-01-01T00:00:00+00:00"
    for number in range(good):
        document = {"_id": f"good-{number}", "prediction": 0.5, "model_run_id": "a" * 32}
        yield "prediction", json.dumps({**document, "created_at": at}).encode()
        if number % (good // 100) == 0:
            yield "prediction", bad[number // (good // 100) % len(bad)]


def test_mongodb_killed_under_load_loses_nothing(
    server: ApiServer, mongo: MongoServer, documented: Contract
) -> None:
    """Answers go on, and everything is stored afterwards."""
    with Client(server, documented) as client:
        for _ in range(KILLS):
            client.wait_for(random.randint(1, 60), "answers come")
            mongo.kill()
            client.wait_for(50, "answers come on")
            mongo.start()
    assert (client.refused, client.broken) == ([], 0)
    assert_ledger_holds(client, mongo)


def test_mongodb_that_hangs_holds_up_nobody(
    server: ApiServer, mongo: MongoServer, keeper: LogKeeper, documented: Contract
) -> None:
    """Answers are as quick as before, and nothing is lost."""
    with Client(server, documented) as client, mongo.stopped():
        client.wait_for(int(SECONDS * RATE), "answers come on", seconds=SECONDS * 3 + 30)
        assert keeper.metric("mlstack_spool_records") > 0
    assert (client.refused, client.broken) == ([], 0)
    assert_ledger_holds(client, mongo)
    wait_until(lambda: keeper.metric("mlstack_spool_records") == 0, "the spool is empty")


def test_full_disk_is_refused_and_heals(
    state: Path, mongo: MongoServer, documented: Contract
) -> None:
    """What cannot be kept is refused with 503, until there is space."""
    with (
        small_disk(state / "spool"),
        LogKeeper(state, MONGO_URI=mongo.uri),
        ApiServer(state) as server,
    ):
        with mongo.stopped(), Client(server, documented) as client:
            client.wait_for(20, "answers come")
            filler = state / "spool" / "filler"
            with filler.open("wb") as file:
                # Nearly: the server stops before the disk is full.
                os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(state / "spool").free - MARK)
            wait_until(lambda: len(client.refused) > 20, "what cannot be kept is refused")
            assert set(client.refused) == {503}
            assert shutil.disk_usage(state / "spool").free > MARK // 2
            filler.unlink()
            client.wait_for(50, "it heals by itself")
        assert_ledger_holds(client, mongo)


def test_outcome_before_its_prediction_is_joined(
    server: ApiServer, mongo: MongoServer, documented: Contract
) -> None:
    """Feedback may overtake its prediction."""
    with mongo.stopped():
        answer = server.post("/predict", dict(documented.example)).json()
        outcome = {"prediction_id": answer["prediction_id"], documented.target.name: True}
        assert server.post("/feedback", outcome).status == 202

    def joined() -> bool:
        with MongoClient[dict[str, Any]](mongo.uri, timeoutMS=5000) as client:
            found = client[DATABASE]["data"].find_one({"_id": answer["prediction_id"]})
        return found is not None and found.get("target") == 1

    wait_until(joined, "the prediction has its outcome")


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of a few megabytes at the folder."""
    folder.mkdir(parents=True)
    as_root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if as_root and shutil.which("sudo") is None:
        pytest.skip("a small file system can only be mounted by root")
    options = f"size=8m,uid={os.geteuid()},gid={os.getegid()}"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if subprocess.run([*as_root, *mount], check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        wait_until(
            lambda: subprocess.run([*as_root, "umount", str(folder)], check=False).returncode == 0,
            "the small file system can be taken away",
        )
