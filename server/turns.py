"""Answer the requests of one turn of the event loop with one prediction call."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mlstack.contract.customer_schema import Customer
from mlstack.deployment.predictor import Predictor
from mlstack.prediction_log.prediction import Origin
from mlstack.waiting import Outage
from server.answers import encode
from server.metrics import Metrics
from server.routes import MAX_WAIT

log = logging.getLogger(__name__)

_ORIGIN = Origin("api")

# The first request of a turn waits for the last one.
_MOST_CUSTOMERS = 256

_REST = 3
"""After other work, turns have the event loop to themselves for this many times its duration."""


@dataclass(slots=True, eq=False)
class Question:
    """What a request asks for.

    Args:
        route: Path of the route.
        is_batch: Whether the answer is a list, whatever its length.
        predictor: Whose contract the customers satisfy.
        customers: At least one.
        prediction_ids: One for each of them.
        begun: When the request began to wait, by `time.perf_counter`.
    """

    route: str
    is_batch: bool
    predictor: Predictor
    customers: Sequence[Customer]
    prediction_ids: Sequence[str]
    begun: float
    answer: bytes | None = field(default=None, init=False)
    """The answer in JSON, kept; None while there is none."""


class Turns:
    """Collects questions, and answers those of a turn together."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._waiting: deque[tuple[Question, asyncio.Future[None]]] = deque()
        self._outage = Outage(log, "answering requests without Flask")
        self._turns, self._ended = 0, asyncio.Event()
        self._ended.set()
        self._one_by_one = asyncio.Lock()
        # When the rest ends, and how many turns there had been when other work last came.
        self._rest_ends, self._turns_before = 0.0, 0

    async def answer(self, question: Question) -> None:
        """Answer a question with the others of this turn, as `answer_now` does."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # After one more round of the loop, in which others arrive: fewer turns are cheaper.
            loop.call_soon(loop.call_soon, self._answer_turn, loop)
            self._ended.clear()
        future = loop.create_future()
        self._waiting.append((question, future))
        await future

    @asynccontextmanager
    async def between(self) -> AsyncIterator[None]:
        """Do other work in the event loop, between two turns.

        Where turns follow each other, other work takes at most a quarter of the time.
        """
        async with self._one_by_one:
            before, self._turns_before = self._turns_before, self._turns
            if self._turns != before:
                await asyncio.sleep(self._rest_ends - time.perf_counter())
            await self._ended.wait()
            begun = time.perf_counter()
            try:
                yield
            finally:
                now = time.perf_counter()
                self._rest_ends = now + _REST * (now - begun)

    def answer_now(self, questions: Sequence[Question]) -> None:
        """Answer questions to one predictor, all or none; thread-safe.

        A question that waited too long or cannot be answered has no answer afterwards, and nothing
        of it was kept: Flask then says what is wrong.
        """
        now = time.perf_counter()
        asked = [question for question in questions if now - question.begun <= MAX_WAIT]
        if not asked:
            return
        predictor = asked[0].predictor
        try:
            customers = [customer for question in asked for customer in question.customers]
            prediction_ids = [each for question in asked for each in question.prediction_ids]
            predictions = predictor.score(customers, prediction_ids, [_ORIGIN] * len(customers))
            documents = [prediction.answer() for prediction in predictions]
            answers, first = [], 0
            for question in asked:
                last = first + len(question.customers)
                own = documents[first:last] if question.is_batch else documents[first]
                answers.append(encode(own))
                first = last
            predictor.keep(predictions)
        except Exception as error:  # noqa: BLE001 - Flask meets it again, and answers and logs it
            self._outage.failed(error)
            return
        self._outage.succeeded()
        for question, answer in zip(asked, answers, strict=True):
            question.answer = answer
        now = time.perf_counter()
        self._metrics.answered(
            [(question.route, now - question.begun) for question in asked],
            len(predictions),
            predictor.model.run_id,
        )

    def _answer_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        turn: list[tuple[Question, asyncio.Future[None]]] = []
        customers = 0
        while self._waiting and customers < _MOST_CUSTOMERS:
            turn.append(self._waiting.popleft())
            customers += len(turn[-1][0].customers)
        if self._waiting:
            loop.call_soon(self._answer_turn, loop)
        # A deploy may have come between two of them.
        by_predictor: dict[int, list[Question]] = {}
        for question, _ in turn:
            by_predictor.setdefault(id(question.predictor), []).append(question)
        for questions in by_predictor.values():
            self.answer_now(questions)
        for _, future in turn:
            if not future.done():
                future.set_result(None)
        self._turns += 1
        self._ended.set()
        if self._waiting:
            self._ended.clear()
