"""Every kind of feature over HTTP: predicted, kept, described and offered by the form."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from mlstack.prediction_log.prediction_store import prediction_table
from tests.support.api import MemoryLog, ServedModel, application, predictor
from tests.support.every_kind import every_kind

CONTRACT = every_kind()


@pytest.fixture
def kept() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(tmp_path: Path, kept: MemoryLog) -> FlaskClient:
    served = ServedModel(predictor(tmp_path / "model", CONTRACT, kept=kept))
    return application(served, CONTRACT, kept=kept).test_client()


def test_customer_of_every_kind_is_predicted_and_kept(client: FlaskClient, kept: MemoryLog) -> None:
    """What is kept becomes the same table as training rows, an unknown text as `other`."""
    sent = {**CONTRACT.example, "insured": True, "country": "Elbonia"}
    answer = client.post("/predict", json=sent)
    assert answer.status_code == 200
    assert 0 < answer.get_json()["return chance"] < 1
    document = kept.predictions[0].document()
    expected = {"insured": True, "country": "elsewhere", "ordered": "2024-02-27"}
    assert {name: document[name] for name in expected} == expected
    row = prediction_table([document], CONTRACT).iloc[0]
    assert (row["insured"], row["delivered"], row["country"]) == (1, "2024-02-29", "elsewhere")


def test_absent_values_of_every_kind_are_missing(client: FlaskClient, kept: MemoryLog) -> None:
    """What may be missing may be left out."""
    assert client.post("/predict", json={"items": 3}).status_code == 200
    assert kept.predictions[0].customer["delivered"] is None


def test_faults_of_dates_and_booleans_name_their_field(client: FlaskClient) -> None:
    sent = {
        **CONTRACT.example,
        "insured": "yes",
        "ordered": "2024-02-30",
        "delivered": "1999-01-01",
    }
    errors = client.post("/predict", json=sent).get_json()["errors"]
    assert {error["pointer"]: error["code"] for error in errors} == {
        "/insured": "wrong_type",
        "/ordered": "wrong_format",
        "/delivered": "out_of_range",
    }


def test_every_kind_is_described_as_valid_openapi(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["components"]["schemas"]["Customer"]["example"] == dict(CONTRACT.example)


def test_form_offers_dates_and_booleans(client: FlaskClient) -> None:
    """A date has a picker within its range; a boolean is chosen as yes, no or not known."""
    page = client.get("/").text
    assert '<input id="feature-ordered" type="date" min="2020-01-01" max="2030-12-31"' in page
    (choices,) = re.findall(r'<select id="feature-insured".*?</select>', page, re.DOTALL)
    offered = re.findall(r'<option value="(\w*)"( selected)?>([\w ]+)<', choices)
    assert offered == [
        ("", "", "not known"),
        ("false", "", "no"),
        ("true", " selected", "yes"),
    ]
