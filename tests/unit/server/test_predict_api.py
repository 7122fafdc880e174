"""The HTTP server's predictions: answers, ids, bodies."""

import io
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from mlstack.contract import Contract
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.deployment.predictor import MAX_BATCH, Predictor
from server.routes import MAX_BODY, MOST_BATCH_BODY
from tests.support.api import RUN_ID, ServedModel, application, predictor, problem_code
from tests.support.models import predictions

README_BODY = (
    '{"customer_age":50,"gender":"M","dependent_count":2,"education_level":3,'
    '"marital_status":"married","income_category":2,"card_category":"blue","months_on_book":4,'
    '"total_relationship_count":3,"credit_limit":4000,"total_revolving_bal":2511}'
)


def test_predict_answers_as_documented(client: FlaskClient, served: ServedModel) -> None:
    """The README's request gets the model's score, run id and a prediction id."""
    answer = client.post("/predict", data=README_BODY, content_type="application/json")
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    document = answer.get_json()
    assert list(document) == ["churn chance", "model_run_id", "prediction_id"]
    expected = predictions(served.in_use.model, [json.loads(README_BODY)])[0]
    assert document["churn chance"] == expected
    assert document["model_run_id"] == RUN_ID
    assert str(uuid.UUID(document["prediction_id"])) == document["prediction_id"]


def test_batch_has_the_scores_of_single_requests(tmp_path: Path, contract: Contract) -> None:
    """A batch is answered in order, with the scores that single requests get."""
    client = application(ServedModel(predictor(tmp_path / "m", contract)), contract).test_client()
    customers = CustomerGenerator(contract, seed=3).draw(MAX_BATCH)
    answers = client.post("/predict/batch", json=customers).get_json()
    assert len({answer["prediction_id"] for answer in answers}) == MAX_BATCH
    for customer, answer in list(zip(customers, answers, strict=True))[::50]:
        alone = client.post("/predict", json=customer).get_json()
        assert alone[contract.answer] == answer[contract.answer]


def test_missing_values_may_be_null_or_absent(tmp_path: Path, full: Contract) -> None:
    """A missing value may be null or absent; both get the same score."""
    client = application(ServedModel(predictor(tmp_path / "m", full)), full).test_client()
    optional = [feature.name for feature in full.features if feature.may_be_missing]
    null = {**full.example, **dict.fromkeys(optional)}
    absent = {name: value for name, value in full.example.items() if name not in optional}
    answers = [client.post("/predict", json=customer).get_json() for customer in (null, absent)]
    assert answers[0][full.answer] == answers[1][full.answer]


@pytest.mark.parametrize(
    "declared",
    [
        "application/json",
        "application/json; charset=utf-8",
        'application/json;charset="UTF-8"',
        "Application/JSON; charset=UTF8",
        "application/json; x=y",
    ],
)
def test_usual_json_declarations_are_accepted(
    client: FlaskClient, example: dict[str, Any], declared: str
) -> None:
    """Case, charset and other parameters of the Content-Type do not matter."""
    body = json.dumps(example)
    assert client.post("/predict", data=body, content_type=declared).status_code == 200


def test_identity_encoding_is_accepted(client: FlaskClient, example: dict[str, Any]) -> None:
    """Content-Encoding: identity is accepted."""
    answer = client.post("/predict", json=example, headers={"Content-Encoding": "identity"})
    assert answer.status_code == 200


def test_largest_allowed_body_is_answered(client: FlaskClient, example: dict[str, Any]) -> None:
    """A body of exactly the limit is answered."""
    body = json.dumps(example).ljust(MAX_BODY)
    assert client.post("/predict", data=body, content_type="application/json").status_code == 200


def test_longest_customer_of_a_contract_is_answered(
    client: FlaskClient, served: ServedModel, example: dict[str, Any]
) -> None:
    """A contract with many features has longer customers; the limit follows it."""
    assert served.predictor
    served.predictor.longest_customer = 2 * MAX_BODY
    for path, document, most in (
        ("/predict", example, 2 * MAX_BODY),
        ("/predict/batch", [example], MOST_BATCH_BODY),
    ):
        for size, status in ((most, 200), (most + 1, 413)):
            body = json.dumps(document).ljust(size)
            answer = client.post(path, data=body, content_type="application/json")
            assert (path, size, answer.status_code) == (path, size, status)


def test_swap_during_a_request_does_not_mix_models(
    tmp_path: Path, documented: Contract, served: ServedModel, example: dict[str, Any]
) -> None:
    """One model makes the whole answer, even if it is replaced meanwhile."""
    new = predictor(tmp_path / "new", documented, run_id="b" * 32, seed=2)
    models = iter([served.in_use, new])

    class Swapping:
        reason = ""

        @property
        def predictor(self) -> Predictor:
            return next(models)

    client = application(Swapping(), documented).test_client()  # type: ignore[arg-type]
    answer = client.post("/predict", json=example).get_json()
    assert answer["model_run_id"] == RUN_ID
    assert answer[documented.answer] == predictions(served.in_use.model, [example])[0]


class TestIdempotencyKey:
    def ids(self, client: FlaskClient, document: Any, key: str | None) -> Any:
        path = "/predict/batch" if isinstance(document, list) else "/predict"
        headers = {} if key is None else {"Idempotency-Key": key}
        answer = client.post(path, json=document, headers=headers).get_json()
        if isinstance(answer, list):
            return [prediction["prediction_id"] for prediction in answer]
        return answer["prediction_id"]

    def test_repeat_has_the_same_id(self, client: FlaskClient, example: dict[str, Any]) -> None:
        """The same key and customer give the same prediction id."""
        assert self.ids(client, example, "k") == self.ids(client, example, "k")

    def test_notation_of_a_customer_does_not_matter(
        self, client: FlaskClient, example: dict[str, Any]
    ) -> None:
        """Order of fields and 1 or 1.0 do not change the prediction id."""
        rewritten = {
            name: float(value) if isinstance(value, int) else value
            for name, value in reversed(example.items())
        }
        assert self.ids(client, rewritten, "k") == self.ids(client, example, "k")

    def test_other_requests_have_other_ids(
        self, client: FlaskClient, example: dict[str, Any], documented: Contract
    ) -> None:
        """Another key, another customer or no key gives another prediction id."""
        number = next(f.name for f in documented.features if f.kind == "number")
        other = {**example, number: example[number] + 0.5}
        ids = [
            self.ids(client, example, "k"),
            self.ids(client, example, "l"),
            self.ids(client, other, "k"),
            self.ids(client, example, None),
            self.ids(client, example, None),
        ]
        assert len(set(ids)) == len(ids)

    def test_other_model_has_another_id(
        self, client: FlaskClient, served: ServedModel, example: dict[str, Any], tmp_path: Path
    ) -> None:
        """The same request on another model gives another prediction id."""
        first = self.ids(client, example, "k")
        served.predictor = predictor(
            tmp_path / "other", served.in_use.model.contract, run_id="b" * 32, seed=2
        )
        assert self.ids(client, example, "k") != first

    def test_position_in_a_batch_counts(self, client: FlaskClient, example: dict[str, Any]) -> None:
        """Equal customers of one batch have different ids, the same ones each time."""
        first = self.ids(client, [example, example], "k")
        assert first[0] != first[1]
        assert self.ids(client, [example, example], "k") == first
        assert self.ids(client, example, "k") not in first


class TestBrokenBodies:
    """What only a server's socket can do to a body."""

    class Stream(io.BytesIO):
        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

        def read(self, *_: object) -> bytes:
            raise self.error

    def post(self, client: FlaskClient, **environ: Any) -> TestResponse:
        return client.post("/predict", content_type="application/json", environ_overrides=environ)

    def test_slow_body(self, client: FlaskClient) -> None:
        """A body that does not arrive in time is answered with 408."""
        stream = self.Stream(TimeoutError())
        answer = self.post(client, **{"wsgi.input": stream, "CONTENT_LENGTH": "10"})
        assert (answer.status_code, problem_code(answer)) == (408, "body_too_slow")

    def test_body_that_breaks_off(self, client: FlaskClient) -> None:
        """A body that breaks off is answered with 400."""
        stream = self.Stream(ConnectionResetError())
        answer = self.post(client, **{"wsgi.input": stream, "CONTENT_LENGTH": "10"})
        assert (answer.status_code, problem_code(answer)) == (400, "incomplete_body")

    def test_body_shorter_than_declared(self, client: FlaskClient) -> None:
        """A body shorter than its declared length is answered with 400."""
        answer = self.post(client, **{"wsgi.input": io.BytesIO(b"{}"), "CONTENT_LENGTH": "10"})
        assert (answer.status_code, problem_code(answer)) == (400, "incomplete_body")

    def test_chunked_body_is_read_up_to_the_limit(self, client: FlaskClient) -> None:
        """A chunked body is read no further than the limit."""
        stream = io.BytesIO(b" " * 10 * MAX_BODY)
        environ = {"wsgi.input": stream, "CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked"}
        answer = self.post(client, **environ)
        assert (answer.status_code, problem_code(answer)) == (413, "body_too_large")
        assert stream.tell() == MAX_BODY + 1

    def test_body_declared_too_large_is_not_read(self, client: FlaskClient) -> None:
        """A body that is declared too large is not read at all."""
        stream = io.BytesIO(b" " * 10)
        environ = {"wsgi.input": stream, "CONTENT_LENGTH": str(MAX_BODY + 1)}
        answer = self.post(client, **environ)
        assert (answer.status_code, problem_code(answer)) == (413, "body_too_large")
        assert stream.tell() == 0
