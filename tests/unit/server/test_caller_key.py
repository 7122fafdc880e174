"""The caller's key: accepted with a customer, kept, returned, and never a feature."""

from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from mlstack.contract import Contract
from mlstack.contract.caller_key import CallerKey
from mlstack.data.dataset import clean, unlisted_columns
from mlstack.deployment.predictor import Predictor
from mlstack.errors import ContractError
from mlstack.model.encoder import Encoder
from mlstack.model.model import Model
from mlstack.settings import Settings
from simulation_business.business import Business
from simulation_business.options import Options
from tests.support.api import RUN_ID, MemoryLog, ServedModel, application
from tests.support.every_kind import TEXT, every_kind
from tests.support.models import write_model
from tests.support.raw_tables import raw_table

KEYED = TEXT.replace("features:", "key: {name: parcel_no, raw: Parcel}\nfeatures:", 1)
CONTRACT = Contract.parse(KEYED)
ID = "8d3f4a52-6a0e-4c0c-9d3b-0b0f3e1a7c11"


@pytest.fixture
def kept() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def client(tmp_path: Path, kept: MemoryLog) -> FlaskClient:
    """A model trained before the contract named a key."""
    model = Model.load(write_model(tmp_path / "model", every_kind(), seed=1), RUN_ID)
    model.follow_contract(CONTRACT)
    return application(ServedModel(Predictor(model, kept)), CONTRACT, kept=kept).test_client()


def test_key_is_kept_and_returned(client: FlaskClient, kept: MemoryLog) -> None:
    """It nests under a name that no feature can have."""
    answer = client.post("/predict", json={**CONTRACT.example, "parcel_no": "P 7"}).get_json()
    assert answer["parcel_no"] == "P 7"
    document = kept.predictions[0].document()
    assert document["_more"] == {"key": "P 7"}
    assert "parcel_no" not in document


def test_form_asks_for_the_key(client: FlaskClient) -> None:
    page = client.get("/").text
    assert '<div class="field" data-feature="parcel_no" data-kind="key">' in page


def test_key_changes_no_prediction(client: FlaskClient) -> None:
    customers = [dict(CONTRACT.example), {**CONTRACT.example, "parcel_no": "7"}]
    without, with_key = client.post("/predict/batch", json=customers).get_json()
    assert without["return chance"] == with_key["return chance"]
    assert "parcel_no" not in without


def test_repeat_with_another_key_is_another_prediction(client: FlaskClient) -> None:
    """One Idempotency-Key never joins two customers."""
    header = {"Idempotency-Key": "once"}
    ids = [
        client.post("/predict", json={**CONTRACT.example, **key}, headers=header).get_json()
        for key in ({"parcel_no": "1"}, {"parcel_no": "1"}, {"parcel_no": "2"}, {})
    ]
    first, again, other, without = (answer["prediction_id"] for answer in ids)
    assert first == again
    assert len({first, other, without}) == 3


@pytest.mark.parametrize(
    ("key", "code"),
    [(7, "wrong_type"), (None, "wrong_type"), ("", "wrong_format"), ("x" * 256, "wrong_format")],
)
def test_key_must_be_a_short_text(client: FlaskClient, key: object, code: str) -> None:
    answer = client.post("/predict", json={**CONTRACT.example, "parcel_no": key})
    (error,) = answer.get_json()["errors"]
    assert (error["pointer"], error["code"]) == ("/parcel_no", code)
    assert error["detail"].startswith("must be a text of 1 to 255 characters; got ")


def test_outcome_by_key_is_kept(client: FlaskClient, kept: MemoryLog) -> None:
    """It names the contract, as another one may have the same keys."""
    sent = [{"parcel_no": "7", "returned": True}, {"prediction_id": ID, "returned": False}]
    assert client.post("/feedback", json=sent).status_code == 202
    by_key, by_id = kept.outcomes
    assert (by_key.by_key, by_id.by_key) == (("parcels", "7"), None)
    assert by_id.prediction_id == ID


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"returned": True}, "missing"),
        ({"prediction_id": ID, "parcel_no": "7", "returned": True}, "too_many"),
    ],
)
def test_outcome_names_a_prediction_or_a_key(
    client: FlaskClient, sent: dict[str, Any], code: str
) -> None:
    (error,) = client.post("/feedback", json=sent).get_json()["errors"]
    assert (error["pointer"], error["code"]) == ("", code)
    assert "prediction_id or parcel_no" in error["detail"]


def test_key_is_described_as_valid_openapi(client: FlaskClient) -> None:
    document = client.get("/openapi.json").get_json()
    OpenAPIV31SpecValidator(document).validate()
    schemas = document["components"]["schemas"]
    for name in ("Customer", "Prediction", "Outcome"):
        assert "parcel_no" in schemas[name]["properties"]
        assert "parcel_no" not in schemas[name]["required"]


def test_key_is_no_feature_and_not_in_the_digest() -> None:
    """It may change without a training; its column counts as listed."""
    assert CONTRACT.digest == every_kind().digest
    assert Encoder(CONTRACT).columns == Encoder(every_kind()).columns
    raw = raw_table(CONTRACT, 30).assign(Parcel="1")
    assert unlisted_columns(raw, CONTRACT) == []
    assert "parcel_no" not in clean(raw, CONTRACT).columns


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("{name: items}", "'items' has another meaning already"),
        ("{name: returned}", "'returned' has another meaning already"),
        ("{name: prediction_id}", "is a reserved name"),
        ("{name: decision}", "'decision' has another meaning already"),
        ("{name: parcel_no, raw: Items}", "'Items' is a feature or the target"),
        ("{name: parcel_no, raw: Back}", "'Back' is a feature or the target"),
    ],
)
def test_key_with_another_meaning_is_refused(key: str, reason: str) -> None:
    text = KEYED.replace("{name: parcel_no, raw: Parcel}", key)
    with pytest.raises(ContractError, match=reason):
        Contract.parse(text)


def test_simulated_customers_have_keys(documented: Contract) -> None:
    """They come again and again; the same seed draws the same keys."""
    contract = documented.model_copy(update={"key": CallerKey(name="customer_id")})
    business = [Business(contract, Settings(), Options(rate=600, seed=3)) for _ in range(2)]
    first, again = (each.average_batch() for each in business)
    assert first == again
    assert all(str(customer["customer_id"]).startswith("simulated-") for customer in first)
