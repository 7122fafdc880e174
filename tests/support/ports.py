"""Free ports of the loopback interface."""

import socket
from contextlib import ExitStack, suppress
from random import SystemRandom

_RANGE = range(10_000, 27_000)
"""Below the ports that Linux gives to outgoing connections (32768 to 60999): one of these may be in
use by the time that a service listens on it. 27018 is the stack's own."""


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on, all different."""
    with ExitStack() as held:
        return [_hold(held) for _ in range(count)]


def free_port() -> int:
    """Find a port that nobody listens on."""
    (port,) = free_ports(1)
    return port


def _hold(held: ExitStack) -> int:
    while True:
        port, each = SystemRandom().choice(_RANGE), held.enter_context(socket.socket())
        with suppress(OSError):  # somebody has it
            each.bind(("127.0.0.1", port))
            return port
