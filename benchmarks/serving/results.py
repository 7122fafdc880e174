"""What a run of the suite measured, as its JSON file holds it."""

from datetime import datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

BATCH_ROWS = 1000
"""Customers in a batch."""


class NotMeasurable(Exception):
    """A server does not start, ended, or does not answer as it should: it has no figures."""


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Latencies(_Document):
    """How long answers took, in milliseconds."""

    p50: float
    p99: float


class Measured(_Document):
    """One server under one load."""

    requests: int
    """Requests answered, errors included."""
    seconds: float
    errors: int
    """Answers other than 2xx, and requests without an answer."""
    unanswered: int = 0
    """Those of the errors that got no answer."""
    latencies: Latencies
    cpu_seconds: float = 0.0
    """CPU time of all processes of the server, without databases."""
    rows: int = 1
    """Customers in each request."""

    @property
    def answered(self) -> int:
        """Requests answered with success."""
        return self.requests - self.errors

    @property
    def per_second(self) -> float:
        """Customers predicted a second."""
        return self.answered * self.rows / self.seconds

    @property
    def cpu_per_thousand(self) -> float:
        """CPU seconds of 1,000 requests."""
        return self.cpu_seconds * 1000 / max(1, self.requests)


class Turn(_Document):
    """One server in one round: started, measured under every load, stopped."""

    contestant: str
    round: int
    failed: str | None = None
    """Why there are no figures."""
    first_answer_seconds: float = 0.0
    """From the start of the process to the first prediction."""
    pss_mib: float = 0.0
    """Memory of all its processes after the loads; shared pages are counted once."""
    loads: dict[str, Measured] = {}


class Ledger(_Document):
    """What MongoDB held after a round, beside what was answered."""

    round: int
    answered: int
    """Customers whose predictions a client received."""
    cut_off: int
    """Customers in requests that were under way when a load ended: kept, but nobody counted the
    answer."""
    stored: int
    """Predictions in MongoDB."""
    seconds: float
    """How long the keeper took to store them."""
    cpu_seconds: float
    """CPU time of the keeper and of MongoDB's stand-in."""

    @property
    def agrees(self) -> bool:
        """Whether every answer is stored, and nothing that nobody asked for."""
        return self.answered <= self.stored <= self.answered + self.cut_off


class Described(_Document):
    """A server of the comparison."""

    name: str
    title: str
    started: str
    """How it is started."""
    keeps: str
    """What has happened to a prediction when it is answered."""
    unavailable: str | None = None
    """Why it could not be installed."""


class Machine(_Document):
    """Where it was measured."""

    processor: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    load_before: float
    """Load average of the last minute before the run."""


class Run(_Document):
    """A run of the suite."""

    began: datetime
    quick: bool
    rounds: int
    load_seconds: float
    machine: Machine
    contestants: list[Described]
    turns: list[Turn]
    ledgers: list[Ledger]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file of a run."""
        return cls.model_validate_json(path.read_bytes())
