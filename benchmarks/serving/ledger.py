"""What our server answered, beside what the keeper then stores."""

import time
from pathlib import Path
from typing import Any

import psutil
from pymongo import MongoClient

from benchmarks.serving.results import Ledger
from benchmarks.serving.server_process import cpu_seconds
from mlstack.prediction_log.mongo_database import DATABASE, PREDICTIONS
from mlstack.prediction_log.segment import Segment
from tests.support.keeper import LogKeeper
from tests.support.mongo import MongoServer
from tests.support.waiting import wait_until

_DRAIN_SECONDS = 1800


def drain(state: Path, folder: Path, number: int, answered: int, cut_off: int) -> Ledger:
    """Let a keeper store all that a stopped server kept; compare with what it answered."""
    spool = state / "spool"
    with MongoServer(folder) as mongo, LogKeeper(state, MONGO_URI=mongo.uri):
        begun = time.monotonic()
        wait_until(lambda: not Segment.paths(spool), "the spool is empty", _DRAIN_SECONDS)
        seconds = time.monotonic() - begun
        cpu = sum(cpu_seconds(p) for p in psutil.Process().children(recursive=True))
        with MongoClient[dict[str, Any]](mongo.uri) as client:
            stored = client[DATABASE][PREDICTIONS].count_documents({})
    return Ledger(
        round=number,
        answered=answered,
        cut_off=cut_off,
        stored=stored,
        seconds=seconds,
        cpu_seconds=cpu,
    )
