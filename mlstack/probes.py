"""Check service readiness by requests that only a working service can answer.

`python -m mlstack.probes PROBE TARGET ...` is the container health check: it exits with 0 if every
probe succeeds, otherwise it prints the reasons. It needs only the standard library, because two
images contain no other module of this project.
"""

import http.client
import json
import re
import socket
import struct
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 3.0
# A worker tells Prefect every 30 s that it is alive.
_WORKER_SECONDS = 75.0
OK = 200

UNKNOWN_NAME = "it is not running: its container does not exist or is not started (unknown name)"
REFUSED = "it is not running, or still starting: nothing listens at its port"
TIMED_OUT = "it gives no answer in time: it is overloaded or stuck"
_CLOSED = "it closes the connection instead of answering"


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a service is ready; the detail says what it serves or why it is not."""

    ready: bool
    detail: str


Probe = Callable[[], Answer]


def url_answers(url: str) -> Answer:
    """Ready if a GET returns 200."""
    return _answer_of(*ask(url))


def mlflow_searches(address: str) -> Answer:
    """Ready if experiments can be read.

    `/health` is no use: it is green even if every call is rejected.
    """
    return _answer_of(*ask(f"{address}/api/2.0/mlflow/experiments/search", {"max_results": 1}))


def model_is_served(address: str) -> Answer:
    """Ready if the server has a model; the detail is its run id or the reason."""
    return _said_by(f"{address}/health/ready", "model_run_id")


def stream_is_served(address: str) -> Answer:
    """Ready if the stream server has a model; the detail is its run id."""
    status, body = ask(f"{address}/metrics")
    if status != OK:
        return Answer(ready=False, detail=why(status, body))
    served = re.search(rb'^mlstack_model_loaded\{model_run_id="(\w+)"\} 1', body, re.MULTILINE)
    if served is None:
        return Answer(ready=False, detail="it has no model yet")
    return Answer(ready=True, detail=served[1].decode())


def monitor_watches(address: str) -> Answer:
    """Ready if the monitoring service accepts rows; the detail is its status."""
    return _said_by(f"{address}/health/ready", "detail")


def worker_is_online(pool: str) -> Answer:
    """Ready if Prefect has heard from a worker of a pool; `pool` is the pool's URL in its API."""
    online = {"workers": {"status": {"any_": ["ONLINE"]}}}
    status, body = ask(f"{pool}/workers/filter", online)
    if status != OK:
        return Answer(ready=False, detail=f"Prefect: {why(status, body)}")
    heard = [datetime.fromisoformat(each["last_heartbeat_time"]) for each in json.loads(body)]
    if not heard:
        return Answer(ready=False, detail="Prefect has not heard of it for minutes")
    # Prefect itself calls a killed worker online for minutes.
    age = (datetime.now(UTC) - max(heard)).total_seconds()
    fresh = age < _WORKER_SECONDS
    detail = "" if fresh else f"Prefect has not heard of it for {age:.0f} s"
    return Answer(ready=fresh, detail=detail)


def dask_has_workers(scheduler: str) -> Answer:
    """Ready if a Dask scheduler has workers; `scheduler` is the address of its dashboard."""
    status, body = ask(f"{scheduler}/json/counts.json")
    if status != OK:
        return Answer(ready=False, detail=f"the scheduler: {why(status, body)}")
    count = json.loads(body)["workers"]
    if not count:
        return Answer(ready=False, detail="none has reached the scheduler")
    return Answer(ready=True, detail="1 worker" if count == 1 else f"{count} workers")


def container_runs(name: str) -> Answer:
    """Ready if a container runs: the engine resolves its name only then."""
    try:
        socket.getaddrinfo(name, None)
    except OSError as error:
        return Answer(ready=False, detail=_silence(error))
    return Answer(ready=True, detail="")


def port_answers(address: str) -> Answer:
    """Ready if a connection to `host:port` is accepted."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except OSError as error:
        return Answer(ready=False, detail=_silence(error))
    return Answer(ready=True, detail="")


def mongo_answers(address: str) -> Answer:
    """Ready if MongoDB at `mongodb://host:port` answers `hello` with ok."""
    parts = urlsplit(address)
    fields = (
        b"\x10hello\0" + struct.pack("<i", 1) + b"\x02$db\0" + struct.pack("<i", 6) + b"admin\0"
    )
    document = struct.pack("<i", len(fields) + 5) + fields + b"\0"
    # OP_MSG: header (length, request id, response to, opcode), flags, one body section.
    message = struct.pack("<iiiiIb", 21 + len(document), 1, 0, 2013, 0, 0) + document
    try:
        with socket.create_connection((parts.hostname, parts.port), timeout=_SECONDS) as connection:
            connection.sendall(message)
            stream = connection.makefile("rb")
            (length,) = struct.unpack("<i", stream.read(4))
            reply = stream.read(length - 4)
    except OSError as error:
        return Answer(ready=False, detail=_silence(error))
    except struct.error:
        return Answer(ready=False, detail=_CLOSED)
    fine = b"\x01ok\0" + struct.pack("<d", 1.0) in reply
    return Answer(ready=fine, detail="" if fine else "hello was rejected")


def ask(url: str, data: dict[str, Any] | list[Any] | None = None) -> tuple[int, bytes]:
    """Send a GET, or a POST of JSON, and return status and body.

    Status 0 means no answer; the body is then the reason.
    """
    request = urllib.request.Request(  # noqa: S310 - our own addresses, always http
        url,
        data=None if data is None else json.dumps(data).encode(),
        headers={"Content-Type": "application/json"},
    )
    # A proxy could not reach our 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()
    except urllib.error.URLError as error:
        return 0, _silence(error.reason).encode()
    except (OSError, http.client.HTTPException) as error:
        return 0, _silence(error).encode()


def why(status: int, body: bytes) -> str:
    """Describe a response other than 200."""
    text = body.decode(errors="replace")
    if status == 0:
        return text
    detail = _text_in(body, "detail")
    return f"answers with {status}: {(detail or ' '.join(text.split()))[:300]}"


def _answer_of(status: int, body: bytes) -> Answer:
    """Ready if the status is 200; otherwise the detail is the reason."""
    return Answer(ready=status == OK, detail="" if status == OK else why(status, body))


def _silence(reason: object) -> str:
    """Say in plain words why a service gives no answer."""
    match reason:
        case socket.gaierror():
            return UNKNOWN_NAME
        case ConnectionRefusedError():
            return REFUSED
        case TimeoutError():
            return TIMED_OUT
        case ConnectionResetError():
            return _CLOSED
    return f"it gives no answer ({reason or type(reason).__name__})"


def _said_by(url: str, key: str) -> Answer:
    """Ready if a GET returns 200 and JSON with text at `key`, the detail."""
    status, body = ask(url)
    if status != OK:
        return Answer(ready=False, detail=why(status, body))
    said = _text_in(body, key)
    if said is None:
        return Answer(
            ready=False, detail=f"another program answers at {url}: its JSON has no {key}"
        )
    return Answer(ready=True, detail=said)


def _text_in(body: bytes, key: str) -> str | None:
    """Return the text at a key of a JSON object, or None."""
    try:
        document = json.loads(body)
    except ValueError:
        return None
    said = document.get(key) if isinstance(document, dict) else None
    return said if isinstance(said, str) else None


PROBES: Mapping[str, Callable[[str], Answer]] = {
    probe.__name__: probe
    for probe in (
        *(url_answers, mlflow_searches, model_is_served, stream_is_served, monitor_watches),
        *(mongo_answers, worker_is_online, dask_has_workers, container_runs, port_answers),
    )
}
"""Probes by name; each takes a target, which is mostly an address."""


def main(arguments: list[str]) -> int:
    """Run the health check and return its exit code."""
    answers = [
        PROBES[name](target) for name, target in zip(arguments[::2], arguments[1::2], strict=True)
    ]
    print("; ".join(answer.detail for answer in answers if answer.detail))  # noqa: T201 - shown by `docker inspect`
    return 0 if all(answer.ready for answer in answers) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
