"""Time limits for HTTP clients, in steps of a tick."""

from asyncio import Transport

TICK_SECONDS = 0.25
"""How often a worker checks its connections."""

EXCHANGE_SECONDS = 20.0
"""Time limit for receiving a request, and for sending its answer."""

STALL_SECONDS = 5.0
"""Time limit for a client that neither sends nor reads."""


class UnreadAnswers:
    """Watches whether a client reads what it is sent."""

    def __init__(self) -> None:
        self._size = 0
        self._age = self._quiet = 0.0

    def renew(self) -> None:
        """Begin with another answer, for which the client has the full time."""
        self._age = 0.0

    def take_too_long(self, transport: Transport) -> bool:
        """Return whether the client reads nothing or too slowly; call it once a tick."""
        size = transport.get_write_buffer_size()
        if not size:
            self._size = 0
            self._age = self._quiet = 0.0
            return False
        self._age += TICK_SECONDS
        self._quiet = self._quiet + TICK_SECONDS if size >= self._size else 0.0
        self._size = size
        return self._quiet > STALL_SECONDS or self._age > EXCHANGE_SECONDS
