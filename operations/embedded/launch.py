"""Start one service: supervisord runs this in place of the service's own command.

Usage: python -m operations.embedded.launch SERVICE

Supervisord restarts a service whose process was killed, but it does not know the children that
the process left behind, which hold its port and its files. So they are ended first. Then this
process records itself and becomes the service.
"""

import os
import sys
import time
from pathlib import Path

from mlstack import command_line, probes
from mlstack.waiting import wait_until
from operations.embedded import layout, processes
from operations.embedded.orders import Order
from operations.machine import ports

# A flow run whose agent was killed needs the time to tell Prefect that it crashed.
_GRACE_SECONDS = 10.0
_PORT_SECONDS = 3.0
_WAIT_SECONDS = 180.0


def launch(stack: Path, run: Path, service: str) -> None:
    """Become the service, as the order of the last start says.

    Args:
        stack: The checkout's state folder, which marks its processes.
        run: Folder of orders and records.
        service: The service's name.

    Raises:
        MlstackError: its port is taken, or what it waits for does not answer.
    """
    order = Order.read(run, service)
    ended = processes.end_service(stack, service, _GRACE_SECONDS)
    if ended:
        _log(f"{service}: ended {ended} processes of its last run")
    processes.Identity.of(os.getpid()).write(layout.record(service))
    if order.port:
        wait_until(
            lambda: ports.is_free(order.host, order.port),
            lambda: f"port {order.port} is taken by {ports.holder(order.port)}",
            _PORT_SECONDS,
        )
    if order.waits_for:
        _log(f"{service}: waiting for {order.waits_for}")
        wait_until(
            lambda: probes.url_answers(order.waits_for).ready,
            lambda: f"{order.waits_for}: {probes.url_answers(order.waits_for).detail}",
            _WAIT_SECONDS,
        )
    environment = {**os.environ, **order.environment, **processes.marker(stack, service)}
    _log(f"{service}: starting")
    os.execve(order.command[0], order.command, environment)  # noqa: S606 - no shell


def _log(line: str) -> None:
    command_line.say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")


if __name__ == "__main__":
    command_line.run(
        lambda: launch(layout.STACK, layout.RUN, sys.argv[1]), prefix=f"{sys.argv[1]}: "
    )
