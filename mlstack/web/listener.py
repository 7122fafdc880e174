"""Accept connections so that all workers have about the same number.

The workers listen to one socket. uvloop's own server takes all connections that wait: one worker
then has a client's whole pool of connections for itself, and the others have nothing to do.
"""

import asyncio
import mmap
import socket
import time
from collections.abc import Callable

import numpy as np

_MAX_WORKERS = 64
_STALE_SECONDS = 3.0
"""A worker that has not told its connections for this long is gone, or stuck."""

_PAUSE_SECONDS = 0.001
_MAX_PAUSES = 20


class Connections:
    """How many connections each worker has, in memory that they share.

    Make it before the workers are forked. gunicorn numbers them.
    """

    def __init__(self) -> None:
        # For each worker the time at which it last told, and its connections.
        self._told = np.frombuffer(mmap.mmap(-1, _MAX_WORKERS * 16)).reshape(_MAX_WORKERS, 2)

    def tell(self, worker: int, connections: float) -> None:
        """Tell how many connections a worker has; infinity: it takes no more."""
        self._told[worker % _MAX_WORKERS] = time.monotonic(), connections

    def fewest(self) -> float:
        """Return the number of connections of the worker with the fewest."""
        fresh = self._told[:, 0] > time.monotonic() - _STALE_SECONDS
        return float(self._told[fresh, 1].min(initial=np.inf))


class Listener:
    """Accepts connections to a socket, unless a worker with fewer does so in the next moments.

    Args:
        listening: The socket.
        serve: Called with each connection.
        has_too_many: Whether another worker should take the next connection.
    """

    def __init__(
        self,
        listening: socket.socket,
        serve: Callable[[socket.socket], None],
        has_too_many: Callable[[], bool],
    ) -> None:
        listening.setblocking(False)  # noqa: FBT003 - it has no name
        self._socket, self._serve, self._has_too_many = listening, serve, has_too_many
        self._loop = asyncio.get_running_loop()
        self._pauses, self._closed = 0, False
        self._listen()

    def close(self) -> None:
        """Accept the connections that wait, and close the socket."""
        self._closed = True
        self._loop.remove_reader(self._socket)
        while self._take():
            pass
        self._socket.close()

    def _listen(self) -> None:
        if not self._closed:
            self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        if self._pauses < _MAX_PAUSES and self._has_too_many():
            self._pauses += 1
            self._loop.remove_reader(self._socket)
            self._loop.call_later(_PAUSE_SECONDS, self._listen)
            return
        self._pauses = 0
        self._take()

    def _take(self) -> bool:
        """Accept one connection; return whether there was one."""
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return False  # none waits, or there are too many files
        connection.setblocking(False)  # noqa: FBT003 - it has no name
        self._serve(connection)
        return True
