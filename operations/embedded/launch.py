"""Start one service; supervisord runs this instead of the service's own command.

Usage: python -m operations.embedded.launch SERVICE

Supervisord restarts a killed service, but does not know the children it left behind, which hold its
port and files. So this process ends them first, records itself, and becomes the service.
"""

import os
import sys
import time

from mlstack import command_line, probes
from mlstack.waiting import wait_until
from operations.embedded import layout, processes
from operations.embedded.orders import Order
from operations.embedded.service import UNIQUE_NAME
from operations.machine import ports

# Flow runs of a killed agent need time to tell Prefect that they crashed.
_GRACE_SECONDS = 10.0
_PORT_SECONDS = 3.0
_WAIT_SECONDS = 180.0


def launch(service: str) -> None:
    """Become the service, as its launch order says.

    Raises MlstackError if there is no usable order, its port is taken, or a service that it depends
    on does not answer.
    """
    order = Order.read(layout.RUN, service)
    ended = processes.end_service(layout.STACK, service, _GRACE_SECONDS)
    if ended:
        _log(f"{service}: ended {ended} processes left from its last run")
    identity = processes.Identity.of(os.getpid())
    identity.write(layout.record(service))
    if order.port:
        wait_until(
            lambda: ports.is_free(order.host, order.port),
            lambda: f"port {order.port} is in use by {ports.holder(order.port)}",
            _PORT_SECONDS,
        )
    if order.waits_for:
        _log(f"{service}: waiting for {order.waits_for}")
        wait_until(
            lambda: probes.url_answers(order.waits_for).ready,
            lambda: f"{order.waits_for}: {probes.url_answers(order.waits_for).detail}",
            _WAIT_SECONDS,
        )
    environment = {**os.environ, **order.environment, **processes.marker(layout.STACK, service)}
    _log(f"{service}: starting")
    command = [identity.name if word == UNIQUE_NAME else word for word in order.command]
    os.execve(command[0], command, environment)  # noqa: S606 - no shell


def _log(line: str) -> None:
    command_line.say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}")


if __name__ == "__main__":
    command_line.run(lambda: launch(sys.argv[1]), prefix=f"{sys.argv[1]}: ")
