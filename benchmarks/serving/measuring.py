"""One turn of a server: started, checked, measured under every load, stopped."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving.closed_loop import ClosedLoop
from benchmarks.serving.contestants import Contestant
from benchmarks.serving.inputs import Bodies, Inputs
from benchmarks.serving.open_loop import send_at_rate
from benchmarks.serving.results import BATCH_ROWS, Measured, NotMeasurable, Turn
from benchmarks.serving.server_process import ServerProcess

BATCHES, HALF, BESIDE = "batches", "half", "beside"
"""Loads: batches in a closed loop, half of the capacity in an open loop, single requests beside
batches. The others are named by their number of connections."""

CAPACITY = 32
"""Connections at which the capacity is measured."""

_BATCH_CONNECTIONS = 4
_BESIDE_PER_SECOND = 100.0
_WARM_UP_CONNECTIONS, _WARM_UP_SECONDS = 8, 1
_CHECKED_CUSTOMERS = 20
# XGBoost and ONNX Runtime round differently; texts of a float32 have 7 digits.
_TOLERANCE = 1e-5


@dataclass
class Kept:
    """What a server answered, to compare it with what it kept."""

    answered: int = 0
    cut_off: int = 0

    def add(self, measured: Measured, connections: int) -> None:
        """Add a load, at whose end each connection may have had a request under way."""
        self.answered += measured.answered * measured.rows
        self.cut_off += (connections + measured.unanswered) * measured.rows


@dataclass(frozen=True)
class Loads:
    """What each server is measured under.

    Args:
        connections: Numbers of connections for one customer a request.
        seconds: Length of each of these loads, and of that at half of the capacity.
        batch_seconds: Length of a load of batches: our server keeps 100,000 rows a second, which
            the keeper then has to store.
        beside: Whether single requests are measured beside batches, too.
    """

    connections: tuple[int, ...]
    seconds: int
    batch_seconds: int
    beside: bool


def take_turn(
    contestant: Contestant, inputs: Inputs, state: Path, *, loads: Loads, number: int, kept: Kept
) -> Turn:
    """Measure a server in a round; `kept` gains what it answered."""
    bodies = inputs.bodies(contestant.form, contestant.name)
    try:
        with contestant.running(inputs, state) as server:
            seconds = server.seconds_to_first_answer(contestant.path, bodies.single[0])
            kept.answered += 1
            if contestant.predicts:
                _check_predictions(server, contestant, inputs, kept)
            measured = _Measurement(server, contestant, bodies, loads, kept).measure()
            return Turn(
                contestant=contestant.name,
                round=number,
                first_answer_seconds=seconds,
                pss_mib=server.pss_mib(),
                loads=measured,
            )
    except (NotMeasurable, OSError) as failure:
        return Turn(contestant=contestant.name, round=number, failed=str(failure))


class _Measurement:
    def __init__(
        self,
        server: ServerProcess,
        contestant: Contestant,
        bodies: Bodies,
        loads: Loads,
        kept: Kept,
    ) -> None:
        self._server, self._contestant, self._bodies = server, contestant, bodies
        self._loads, self._kept = loads, kept

    def measure(self) -> dict[str, Measured]:
        """Apply each load."""
        self._single(_WARM_UP_CONNECTIONS, _WARM_UP_SECONDS)
        seconds = self._loads.seconds
        found = {str(each): self._single(each, seconds) for each in self._loads.connections}
        found[HALF] = self._at_rate(found[str(CAPACITY)].per_second / 2, seconds)
        if self._contestant.batch_path is not None:
            found[BATCHES] = self._batches(self._contestant.batch_path)
            if self._loads.beside:
                found[BESIDE] = self._beside(self._contestant.batch_path)
        return found

    def _single(self, connections: int, seconds: int) -> Measured:
        return self._closed(
            ClosedLoop(connections, seconds, self._bodies.single_file), self._contestant.path
        )

    def _batches(self, path: str) -> Measured:
        return self._closed(self._batch_load(), path)

    def _closed(self, load: ClosedLoop, path: str) -> Measured:
        before = self._server.cpu_seconds()
        found = load.run(self._url(path))
        self._kept.add(found, load.connections)
        return found.model_copy(update={"cpu_seconds": self._server.cpu_seconds() - before})

    def _at_rate(self, rate: float, seconds: int) -> Measured:
        before = self._server.cpu_seconds()
        found = send_at_rate(
            *(self._server.port, self._contestant.path, self._bodies.single),
            *(rate, seconds),
        )
        self._kept.add(found, 0)
        return found.model_copy(update={"cpu_seconds": self._server.cpu_seconds() - before})

    def _beside(self, path: str) -> Measured:
        """Send single requests at a low rate while batches are sent in a closed loop."""
        load = self._batch_load()
        with load.begin(self._url(path)) as batches:
            found = self._at_rate(_BESIDE_PER_SECOND, self._loads.batch_seconds)
            self._kept.add(batches.result(), load.connections)
        return found

    def _batch_load(self) -> ClosedLoop:
        return ClosedLoop(
            _BATCH_CONNECTIONS, self._loads.batch_seconds, self._bodies.batch_file, BATCH_ROWS
        )

    def _url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.port}{path}"


def _check_predictions(
    server: ServerProcess, contestant: Contestant, inputs: Inputs, kept: Kept
) -> None:
    """Raise NotMeasurable if a server predicts otherwise than the model."""
    customers = inputs.customers[:_CHECKED_CUSTOMERS]
    form, found = contestant.form, []
    for customer in customers:
        answer = server.ask(contestant.path, form.one(customer))
        found += form.predictions(answer.json())
    kept.answered += len(customers)
    expected = inputs.expected(customers)
    if contestant.batch_path is not None:
        answer = server.ask(contestant.batch_path, form.many(customers))
        found += form.predictions(answer.json())
        expected += expected
        kept.answered += len(customers)
    if max(abs(a - b) for a, b in zip(found, expected, strict=True)) > _TOLERANCE:
        raise NotMeasurable("it predicts otherwise than the model")
