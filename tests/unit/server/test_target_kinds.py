"""Each kind of target is answered, described, stored and told to the monitoring service."""

from copy import copy
from typing import Any

import jsonschema_rs
import pytest
from flask.testing import FlaskClient

from mlstack.contract import Contract
from mlstack.deployment.predictor import Predictor
from mlstack.prediction_log.monitor_sink import monitored_row
from monitoring.evidently_service.rows import RowReader
from tests.support.api import MemoryLog, ServedModel, application
from tests.support.target_kinds import KINDS, contract_text, trained

OUTCOMES: dict[str, tuple[list[Any], list[tuple[Any, str]]]] = {
    "binary": ([True, False], [(1, "wrong_type")]),
    "regression": ([0, 12.5, 500], [(501, "out_of_range"), (True, "wrong_type")]),
    "multiclass": (["lost", "returned"], [("gone", "unknown_category"), (1, "wrong_type")]),
}


class Server:
    """The application with a trained model."""

    def __init__(self, kind: str) -> None:
        found = trained(kind)
        self.contract, self.log = found.contract, MemoryLog()
        served = ServedModel(Predictor(found.model, self.log))
        self.client: FlaskClient = application(served, found.contract, kept=self.log).test_client()

    def predict(self) -> dict[str, Any]:
        answer = self.client.post("/predict", json=dict(self.contract.example))
        assert answer.status_code == 200
        assert answer.json
        return dict(answer.json)


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


def test_answer_fits_the_published_schema(server: Server) -> None:
    """So does the schema's own example."""
    document = server.client.get("/openapi.json").json
    assert document
    schema = document["components"]["schemas"]["Prediction"]
    for answer in (server.predict(), schema["example"]):
        assert list(answer) == schema["required"]
        jsonschema_rs.validate(schema, answer)


def test_answer_of_classes_has_all_probabilities() -> None:
    """The class is the most probable one."""
    answer = Server("multiclass").predict()
    probabilities = answer["probabilities"]
    assert list(probabilities) == ["delivered", "returned", "lost"]
    assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert answer["forecast"] == max(probabilities, key=probabilities.__getitem__)


def test_answer_of_a_regression_is_a_number() -> None:
    """Distance times three and the stops, in this table."""
    assert Server("regression").predict()["forecast"] == pytest.approx(12.5 * 3 + 3, abs=15)


def test_stored_prediction_nests_new_fields(server: Server) -> None:
    """A document has no field beside the features that a feature could be named like."""
    answer = server.predict()
    document = server.log.predictions[0].document()
    assert document["prediction"] == answer[server.contract.answer]
    more = document.get("_more", {})
    if server.contract.target.kind == "multiclass":
        assert more == {"probabilities": list(answer["probabilities"].values())}
    else:
        assert more == {}


def test_monitoring_service_accepts_the_prediction(server: Server) -> None:
    """What a server stores is a valid row of the monitoring service."""
    server.predict()
    row = monitored_row(server.log.predictions[0].document())
    found = RowReader(server.contract).read([row])
    assert (len(found.accepted), found.faults) == (1, ())
    assert found.accepted[0].prediction == row["prediction"]


def test_outcomes_are_checked_and_stored(server: Server) -> None:
    """A valid one is kept as it will be compared; another is refused at its field."""
    valid, invalid = OUTCOMES[server.contract.target.kind]
    name, prediction_id = server.contract.target.name, server.predict()["prediction_id"]
    for outcome in valid:
        body = {"prediction_id": prediction_id, name: outcome}
        assert server.client.post("/feedback", json=body).status_code == 202
    assert [kept.value for kept in server.log.outcomes] == valid
    for outcome, code in invalid:
        answer = server.client.post(
            "/feedback", json={"prediction_id": prediction_id, name: outcome}
        )
        assert answer.status_code == 422
        assert answer.json
        assert (answer.json["errors"][0]["pointer"], answer.json["errors"][0]["code"]) == (
            f"/{name}",
            code,
        )


def test_form_has_room_for_the_prediction(server: Server) -> None:
    """It names the kind, by which its script shows the answer."""
    page = server.client.get("/").text
    assert f'data-target="{server.contract.target.kind}"' in page
    assert ('id="probabilities"' in page) is (server.contract.target.kind == "multiclass")


@pytest.mark.parametrize(
    "more",
    [None, {}, {"probabilities": [0.5, 0.5]}, {"probabilities": [0.2, 0.3, 2]}],
    ids=["none", "empty", "too few", "no probability"],
)
def test_row_of_classes_needs_all_probabilities(more: Any) -> None:
    """Without them its quality cannot be measured; the fault names the field."""
    contract = trained("multiclass").contract
    row = {**contract.example, "prediction": "lost", "_more": more}
    found = RowReader(contract).read([row])
    assert found.refused == 1
    assert found.faults[0].pointer.startswith("/0/_more")
    assert "must be probabilities of all classes" in found.faults[0].detail


def _decided(threshold: float) -> Server:
    server = Server("binary")
    contract = Contract.parse(contract_text("binary") + f"threshold: {threshold}\n")
    model = copy(trained("binary").model)
    model.follow_contract(contract)
    predictor = Predictor(model, server.log)
    assert predictor.model.contract.threshold == threshold
    served = ServedModel(predictor)
    server.contract = contract
    server.client = application(served, contract, kept=server.log).test_client()
    return server


@pytest.mark.parametrize(("threshold", "decision"), [(0.001, True), (0.999, False)])
def test_threshold_adds_the_decision(threshold: float, *, decision: bool) -> None:
    """It is answered, described, stored, and told to the monitoring service."""
    server = _decided(threshold)
    answer = server.predict()
    assert answer["decision"] is decision
    document = server.client.get("/openapi.json").json
    assert document
    jsonschema_rs.validate(document["components"]["schemas"]["Prediction"], answer)
    row = monitored_row(server.log.predictions[0].document())
    assert row["_more"] == {"decision": decision}
    assert RowReader(server.contract).read([row]).accepted[0].more == {"decision": decision}
    assert 'id="decision"' in server.client.get("/").text


def test_threshold_changes_without_a_training() -> None:
    """It comes from CONTRACT, not from the model's own copy, and is no part of the digest."""
    plain, other = trained("binary").contract, _decided(0.25).contract
    assert plain.digest == other.digest
