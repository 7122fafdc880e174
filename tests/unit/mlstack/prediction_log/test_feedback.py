"""Reported outcomes are validated like customers, and kept before they are acknowledged."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from mlstack.contract import Contract
from mlstack.prediction_log.prediction import Outcome
from mlstack.prediction_log.segment import SpoolError
from tests.support.api import MemoryLog, ServedModel, application, predictor

ID = "8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c11"
OTHER_ID = "0b6b1f0e-52a7-4d0f-8f0a-6f1d5a0c3e21"


@pytest.fixture
def kept() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(tmp_path: Path, documented: Contract, kept: MemoryLog) -> FlaskClient:
    served = ServedModel(predictor(tmp_path / "model", documented, kept=kept))
    return application(served, documented, kept=kept).test_client()


def test_outcome_is_kept(client: FlaskClient, kept: MemoryLog) -> None:
    """A valid outcome is accepted and kept."""
    answer = client.post("/feedback", json={"prediction_id": ID, "churned": True})
    assert (answer.status_code, answer.json) == (202, {"accepted": 1})
    assert kept.outcomes == [Outcome(ID, value=1)]


def test_outcomes_are_kept_together(client: FlaskClient, kept: MemoryLog) -> None:
    """An array of outcomes is kept in order."""
    outcomes = [
        {"prediction_id": ID, "churned": True},
        {"prediction_id": OTHER_ID, "churned": False},
    ]
    assert client.post("/feedback", json=outcomes).json == {"accepted": 2}
    assert kept.outcomes == [Outcome(ID, value=1), Outcome(OTHER_ID, value=0)]


def test_outcome_is_kept_without_a_model(documented: Contract, kept: MemoryLog) -> None:
    """Outcomes are accepted while no model is in service."""
    client = application(ServedModel(None, "no model"), documented, kept=kept).test_client()
    answer = client.post("/feedback", json={"prediction_id": ID, "churned": True})
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        (1, "", "wrong_type"),
        ([], "", "too_few"),
        ([{"prediction_id": ID, "churned": True}] * 1001, "", "too_many"),
        ([1], "/0", "wrong_type"),
        ({"churned": True}, "/prediction_id", "missing"),
        ({"prediction_id": ID}, "/churned", "missing"),
        ({"prediction_id": ID, "churned": 1}, "/churned", "wrong_type"),
        ({"prediction_id": ID, "churned": None}, "/churned", "wrong_type"),
        ({"prediction_id": ID, "churned": "true"}, "/churned", "wrong_type"),
        ({"prediction_id": 1, "churned": True}, "/prediction_id", "wrong_type"),
        ({"prediction_id": "x", "churned": True}, "/prediction_id", "wrong_format"),
        ({"prediction_id": ID.upper(), "churned": True}, "/prediction_id", "wrong_format"),
        ({"prediction_id": ID, "churned": True, "x": 1}, "/x", "unknown_field"),
        ([{"prediction_id": ID, "churned": True}, {}], "/1/prediction_id", "missing"),
    ],
)
def test_invalid_outcome_is_refused_at_its_field(
    client: FlaskClient, kept: MemoryLog, body: Any, pointer: str, code: str
) -> None:
    """An invalid outcome is refused with pointer and code; nothing is kept."""
    answer = client.post("/feedback", json=body)
    assert answer.status_code == 422
    assert answer.json
    assert answer.json["code"] == "invalid_feedback"
    assert (answer.json["errors"][0]["pointer"], answer.json["errors"][0]["code"]) == (
        pointer,
        code,
    )
    assert kept.outcomes == []


@pytest.mark.parametrize("path", ["/predict", "/predict/batch", "/feedback"])
def test_nothing_is_answered_that_cannot_be_kept(
    client: FlaskClient, kept: MemoryLog, documented: Contract, path: str
) -> None:
    """If the spool cannot be written, the answer is 503, and a retry succeeds."""
    kept.failure = SpoolError("the spool cannot be written: disk full")
    customer = dict(documented.example)
    body: Any = {
        "/predict": customer,
        "/predict/batch": [customer],
        "/feedback": {"prediction_id": ID, "churned": True},
    }[path]
    answer = client.post(path, json=body)
    assert answer.status_code == 503
    assert answer.json
    assert answer.json["code"] == "not_kept"
    assert int(answer.headers["Retry-After"]) > 0
    kept.failure = None
    assert client.post(path, json=body).status_code < 300
