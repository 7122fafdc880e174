"""The stream server: answers records of `predictions` on `results`.

Entry point: `python -m server.serve_kinesis`.
"""

import gc
import logging
import os
from contextlib import ExitStack

from mlstack import command_line, heartbeat, machine_clock
from mlstack.deployment.watcher import ModelWatcher
from mlstack.metrics_port import expose
from mlstack.model.mlflow_api import shorten_timeouts
from mlstack.prediction_log.prediction_log import PredictionLog
from mlstack.settings import Settings
from mlstack.streams.client import kinesis_client
from mlstack.streams.publishing import Publisher
from mlstack.streams.stream import StreamIdentity
from mlstack.waiting import Stop, run_until_stopped
from server.stream.liveness import Liveness
from server.stream.metrics import StreamMetrics
from server.stream.polling import PollingEngine
from server.stream.processor import StreamProcessor
from server.stream.shard_reader import EngineContext

SERVER_NAME = "predict-kinesis"
"""Name of this server in deployments and logs."""

log = logging.getLogger(__name__)

# A fetch makes tens of thousands of objects, none of them in cycles. By default Python would look
# through them after every 700, which takes a third of a record's time.
_OBJECTS_BETWEEN_COLLECTIONS = 20_000

# For running batches. After that the watcher stops, and the spool is closed.
_GRACE_SECONDS = 4.0


def serve(settings: Settings, stop: Stop, liveness: Liveness) -> None:
    """Serve until the stop request.

    Raises MlstackError if a port is in use or a file in the state folder cannot be used.
    """
    metrics = StreamMetrics()
    client = kinesis_client()
    with ExitStack() as stack:
        port = settings.stream_metrics_port
        stack.enter_context(expose(metrics.registry, settings, port, "STREAM_METRICS_PORT"))
        prediction_log = PredictionLog(settings, "kinesis")
        prediction_log.start()
        stack.callback(prediction_log.stop)
        watcher = ModelWatcher(settings, SERVER_NAME, prediction_log, metrics.model_loaded)
        watcher.start()
        stack.callback(watcher.stop)
        processor = StreamProcessor(
            models=watcher,
            publish_results=Publisher(client, settings.results_stream, stop).publish,
            publish_dead_letters=Publisher(client, settings.dead_letter_stream, stop).publish,
            metrics=metrics,
            stop=stop,
        )
        context = EngineContext(
            client=client,
            identity=StreamIdentity(client, settings.predictions_stream, stop),
            process=processor.process,
            metrics=metrics,
            stop=stop,
            liveness=liveness,
        )
        _run_engine(settings, context)


def _run_engine(settings: Settings, context: EngineContext) -> None:
    if settings.stream_engine == "polling":
        folder = settings.state_path / "stream"
        PollingEngine(context, settings.predictions_stream, folder).run()
        return
    # A native extension of several megabytes, imported only on request.
    from server.stream.kcl import KclEngine  # noqa: PLC0415 - see above

    # One instance has the port of a host, before and after a restart. Hosts may have equal names.
    host = f"{os.uname().nodename}-{machine_clock.boot_id()[:8]}"
    KclEngine(context, f"{host}-{settings.stream_metrics_port}").run()


def main() -> None:
    """Run the server."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    command_line.log_to_stderr()
    logging.getLogger("botocore").setLevel(logging.WARNING)
    settings = Settings.load()
    shorten_timeouts()
    heartbeat_file = heartbeat.stream_server(settings)
    liveness = Liveness(heartbeat_file)
    stop = Stop(_GRACE_SECONDS, beat=liveness.beat)
    try:
        run_until_stopped(lambda: serve(settings, stop, liveness), stop)
    finally:
        heartbeat_file.remove()
    log.info("shut down cleanly")


if __name__ == "__main__":
    command_line.run(main, "serve_kinesis: ")
