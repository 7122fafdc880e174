"""A real server of MongoDB's protocol, on a free port of the loopback interface."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from mlstack.prediction_log.mongo_database import DATABASE
from mlstack.prediction_log.mongo_sink import MongoSink
from tests.support.ports import free_port
from tests.support.waiting import wait_until


class MongoServer:
    """A server that can be killed and started again; its data stays in the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self.uri = f"mongodb://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [
            str(Path(sys.executable).with_name("secantusd-py")),
            *("--host", "127.0.0.1", "--port", str(self._port)),
            *("--storage-path", str(self._folder), "--sync-on-commit"),
        ]
        with (self._folder.parent / f"{self._folder.name}.log").open("ab") as output:
            self._server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        wait_until(self._answers, "MongoDB answers")

    def kill(self) -> None:
        """Kill it."""
        self._server.kill()
        self._server.wait()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Let it hang until the block ends: connections stay open and nothing is answered."""
        self._server.send_signal(signal.SIGSTOP)
        # The signal is not there at once: until every thread has stopped, a call is still answered.
        os.waitid(os.P_PID, self._server.pid, os.WSTOPPED)
        try:
            yield
        finally:
            self._server.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with MongoClient[dict[str, Any]](self.uri, timeoutMS=500) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
            return True


@contextmanager
def empty_sink(uri: str) -> Iterator[MongoSink]:
    """Empty the database and yield the keeper's sink for it, which is prepared."""
    with MongoClient[dict[str, Any]](uri) as client:
        client.drop_database(DATABASE)
    sink = MongoSink(uri)
    sink.prepare()
    yield sink
    sink.close()
