"""Starts one service: supervisord runs this in place of the service's own command.

Usage: python -m operations.embedded.launch SERVICE

What is left of the service's former self is ended first: supervisord restarts a service whose
process was killed, but knows nothing of the children that the process left behind, which hold
its port and its files. Then the process records itself and becomes the service.
"""

import os
import sys
import time
from pathlib import Path

from mlstack import probes
from mlstack.errors import MlstackError
from operations.embedded import layout, processes
from operations.embedded.errors import StackError
from operations.embedded.orders import Order
from operations.machine import ports

# A flow run whose agent was killed uses it to tell Prefect that it crashed.
_GRACE_SECONDS = 10.0
_PORT_SECONDS = 3.0
_WAIT_SECONDS = 180.0


def launch(stack: Path, run: Path, service: str) -> None:
    """Becomes the service, by the order that the last start has written.

    Args:
        stack: The checkout's state folder, which marks its processes.
        run: Folder of orders and records.
        service: The service's name.

    Raises:
        StackError: its port is taken, or what it waits for does not answer.
    """
    order = Order.read(run, service)
    ended = processes.end_service(stack, service, _GRACE_SECONDS)
    if ended:
        _say(f"{service}: ended {ended} processes that its former self had left behind")
    processes.Identity.of(os.getpid()).write(layout.record(service))
    if order.port:
        _wait_for_free_port(service, order.host, order.port)
    if order.waits_for:
        _wait_for(service, order.waits_for)
    environment = {**os.environ, **order.environment, **processes.marker(stack, service)}
    _say(f"{service}: starting")
    os.execve(order.command[0], order.command, environment)  # noqa: S606 - that is the point


def _wait_for_free_port(service: str, host: str, port: int) -> None:
    deadline = time.monotonic() + _PORT_SECONDS
    while not ports.is_free(host, port):
        if time.monotonic() > deadline:
            raise StackError(f"{service}: port {port} is taken by {ports.holder(port)}")
        time.sleep(0.2)


def _wait_for(service: str, url: str) -> None:
    deadline = time.monotonic() + _WAIT_SECONDS
    _say(f"{service}: waiting for {url}")
    while not (answer := probes.url_answers(url)).ready:
        if time.monotonic() > deadline:
            raise StackError(
                f"{service}: {url} did not answer within {_WAIT_SECONDS:.0f} s: {answer.detail}"
            )
        time.sleep(0.2)


def _say(line: str) -> None:
    print(time.strftime("%Y-%m-%d %H:%M:%S"), line, flush=True)  # noqa: T201 - goes to its log


if __name__ == "__main__":
    try:
        launch(layout.STACK, layout.RUN, sys.argv[1])
    except MlstackError as error:
        _say(str(error))
        sys.exit(1)
