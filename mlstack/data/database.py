"""DuckDB as tables use it: in memory, without extensions that would be downloaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

_CONFIG: dict[str, Any] = {
    # Extensions would be downloaded.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "temp_directory": "",
}


def connect() -> duckdb.DuckDBPyConnection:
    """Open an empty database in memory."""
    database = duckdb.connect(":memory:", config=_CONFIG)
    # Times with a zone are written in the zone of this setting.
    database.execute("SET TimeZone = 'UTC'")
    return database


@contextmanager
def file_of(content: bytes) -> Iterator[str]:
    """Expose a content as a file in memory only: the table may be private."""
    with os.fdopen(os.memfd_create("table"), "wb") as file:
        file.write(content)
        file.flush()
        yield f"/proc/self/fd/{file.fileno()}"
