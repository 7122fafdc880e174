"""Host names that lead to this machine."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from urllib3.util import connection


@contextmanager
def resolved(names: Mapping[str, Mapping[int, int]]) -> Iterator[pytest.MonkeyPatch]:
    """Resolve names, and those below them, for all that uses urllib3 in this process.

    Args:
        names: Lead to the loopback interface; to which port there, by the port that is asked for.

    Yields:
        What has changed this process, for further changes that end with it.
    """
    connect = connection.create_connection

    def found(address: tuple[str, int], *arguments: Any, **options: Any) -> Any:
        host, port = address
        for name, ports in names.items():
            if host == name or host.endswith(f".{name}"):
                address = ("127.0.0.1", ports[port])
        return connect(address, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connection, "create_connection", found)
        # No proxy of this machine's user knows them.
        for variable in ("NO_PROXY", "no_proxy"):
            patch.setenv(variable, ",".join((*names, "127.0.0.1", "localhost")))
        yield patch
