"""Serve the metrics of a process on a port of its own."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from mlstack.errors import SettingsError
from mlstack.settings import Settings


@contextmanager
def expose(
    registry: CollectorRegistry, settings: Settings, port: int, setting: str
) -> Iterator[None]:
    """Serve the metrics during the block; `setting` is the variable that holds the port.

    Raises SettingsError if the port cannot be used.
    """
    try:
        server, thread = start_http_server(port, settings.listens_on, registry)
    except OSError as error:
        raise SettingsError(
            f"port {port} for metrics cannot be used ({error.strerror}): is this service running "
            f"already? Set {setting} to a free one"
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
