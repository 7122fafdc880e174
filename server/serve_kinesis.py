"""The stream server: records of the stream `predictions`, answered on `results`.

Entry point: `python -m server.serve_kinesis`.
"""

import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import boto3
import botocore.session
from botocore.config import Config
from prometheus_client import start_http_server

from mlstack.deployment.watcher import ModelWatcher
from mlstack.errors import MlstackError, SettingsError
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.prediction_log.prediction_log import PredictionLog
from mlstack.settings import Settings
from server import logs
from server.stream.heartbeat import Heartbeat, heartbeat_path
from server.stream.identity import StreamIdentity
from server.stream.metrics import StreamMetrics
from server.stream.patience import Stop
from server.stream.polling import PollingEngine
from server.stream.processor import StreamProcessor
from server.stream.publisher import Publisher
from server.stream.shard_reader import Surroundings

if TYPE_CHECKING:
    from mypy_boto3_kinesis import KinesisClient

SERVER_NAME = "predict-kinesis"
"""What deploys and logs call this server."""

log = logging.getLogger(__name__)

# For what is in hand. Then the watcher ends and the log drains, with MongoDB's and the monitor's
# last calls: 25 s in all when both of them hang. Who starts this server has to wait so long.
_GRACE_SECONDS = 4.0

# Retries are ours: botocore's own would hide that a stream went away in between, and put
# whole batches again for single entries.
_CLIENT_CONFIG = Config(
    connect_timeout=3,
    read_timeout=20,
    max_pool_connections=50,
    # The requests are made here, of parts that were checked: looking at each of 500 entries
    # again takes a third of the time of making a PutRecords.
    parameter_validation=False,
    retries={"mode": "standard", "total_max_attempts": 1},
)


class Engine(Protocol):
    """Brings the records of every shard to the processor."""

    def run(self) -> None:
        """Returns when the server has to stop."""


def serve(settings: Settings, stop: Stop) -> None:
    """Serves until the order to stop.

    Raises:
        MlstackError: a port is taken, or a file of the state folder cannot be used.
    """
    metrics = StreamMetrics()
    heartbeat = Heartbeat(heartbeat_path(settings))
    client = _kinesis()
    with ExitStack() as stack:
        stack.callback(heartbeat.remove)
        stack.enter_context(_exposed(settings, metrics))
        prediction_log = PredictionLog(settings, "kinesis", metrics.prediction_log)
        prediction_log.start()
        stack.callback(prediction_log.stop)
        watcher = ModelWatcher(settings, SERVER_NAME, prediction_log, metrics.model_loaded)
        watcher.start()
        stack.callback(watcher.stop)
        processor = StreamProcessor(
            served=watcher,
            results=Publisher(client, settings.results_stream, stop, heartbeat),
            dead_letter_stream=Publisher(client, settings.dead_letter_stream, stop, heartbeat),
            metrics=metrics,
            stop=stop,
            heartbeat=heartbeat,
        )
        surroundings = Surroundings(
            client=client,
            identity=StreamIdentity(client, settings.predictions_stream, stop, heartbeat),
            processor=processor,
            metrics=metrics,
            stop=stop,
            heartbeat=heartbeat,
        )
        _engine(settings, surroundings).run()


def _kinesis() -> "KinesisClient":
    session = botocore.session.get_session()
    # Kinesis sends seconds since the epoch. botocore's own parser tries several formats and
    # asks for the local time zone, for each record: half of the time that GetRecords takes.
    parsers = session.get_component("response_parser_factory")
    parsers.set_parser_defaults(
        timestamp_parser=lambda seconds: datetime.fromtimestamp(seconds, UTC)
    )
    return boto3.Session(botocore_session=session).client("kinesis", config=_CLIENT_CONFIG)


def _engine(settings: Settings, surroundings: Surroundings) -> Engine:
    if settings.stream_engine == "polling":
        folder = settings.state_path / "stream"
        return PollingEngine(surroundings, settings.predictions_stream, folder)
    # An extension of several megabytes, and a native one: only for those who asked for it.
    from server.stream.kcl import KclEngine  # noqa: PLC0415

    return KclEngine(surroundings, settings.predictions_stream)


@contextmanager
def _exposed(settings: Settings, metrics: StreamMetrics) -> Iterator[None]:
    """Metrics on their port."""
    address, port = settings.listens_on, settings.stream_metrics_port
    try:
        server, thread = start_http_server(port, address, metrics.registry)
    except OSError as error:
        raise SettingsError(
            f"port {port} for metrics cannot be used ({error.strerror}): is another stream "
            "server running? Set STREAM_METRICS_PORT to a free one"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main() -> int:
    """Entry point."""
    logs.set_up()
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = Settings.load()
    shorten_timeouts()
    stop = Stop(_GRACE_SECONDS)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.order())
    failures: list[Exception] = []

    def run() -> None:
        try:
            serve(settings, stop)
        except Exception as error:  # noqa: BLE001 - raised again below, in the main thread
            failures.append(error)

    # The main thread only handles signals: a handler that interrupts a thread inside of an
    # Event's own lock could never set it.
    server = threading.Thread(target=run, name="serve")
    server.start()
    server.join()
    for failure in failures:
        raise failure
    log.info("stopped in order")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MlstackError as error:
        sys.exit(f"serve_kinesis: {error}")
