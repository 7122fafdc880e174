"""The published API description is valid, complete and true."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from openapi_spec_validator import OpenAPIV31SpecValidator

from mlstack.contract import Contract
from server.openapi import openapi_document
from server.problems import KINDS
from tests.support.api import RUN_ID, ServedModel, application, predictor
from tests.support.bad_requests import bad_requests


@pytest.fixture
def app(tmp_path: Path, contract: Contract) -> Flask:
    return application(ServedModel(predictor(tmp_path / "model", contract)), contract)


@pytest.fixture
def document(app: Flask) -> dict[str, Any]:
    answer = app.test_client().get("/openapi.json")
    assert answer.mimetype == "application/json"
    document: dict[str, Any] = answer.get_json()
    return document


def schema(document: dict[str, Any], name: str) -> jsonschema_rs.Draft202012Validator:
    reference = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return jsonschema_rs.Draft202012Validator(reference)


def test_document_is_valid_openapi(document: dict[str, Any]) -> None:
    """The document is valid OpenAPI 3.1."""
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_described(document: dict[str, Any], app: Flask) -> None:
    """Every route of the application is described."""
    files = {"/static/<path:filename>", "/docs/<path:name>"}
    routes = {rule.rule for rule in app.url_map.iter_rules()} - files
    assert set(document["paths"]) == routes


def test_customer_schema_is_the_contracts(document: dict[str, Any], contract: Contract) -> None:
    """The customer's schema is the one that requests are checked by."""
    properties = document["components"]["schemas"]["Customer"]["properties"]
    assert tuple(properties) == contract.feature_names


def test_model_in_use_is_named(document: dict[str, Any]) -> None:
    """The description names the run of the model in use."""
    assert RUN_ID in document["info"]["description"]


def test_examples_are_valid(document: dict[str, Any], contract: Contract) -> None:
    """Every example is valid by its own schema."""
    for name in ("Customer", "Prediction"):
        example = document["components"]["schemas"][name]["example"]
        assert schema(document, name).is_valid(example)
    assert contract.answer in document["components"]["schemas"]["Prediction"]["example"]


def test_problems_of_a_body_are_described(
    document: dict[str, Any],
) -> None:
    """Each kind of problem that a body can cause has an example."""
    described = set()
    references = {
        **document["paths"]["/predict"]["post"]["responses"],
        **document["paths"]["/feedback"]["post"]["responses"],
    }
    for reference in references.values():
        if "$ref" in reference:
            response = document["components"]["responses"][reference["$ref"].split("/")[-1]]
            described |= set(response["content"]["application/problem+json"]["examples"])
    assert described == set(KINDS) - {"not_found", "method_not_allowed", "internal_error"}


def test_answers_are_as_described(document: dict[str, Any], app: Flask, contract: Contract) -> None:
    """Answers, good and bad, match the published schemas."""
    client = app.test_client()
    prediction = client.post("/predict", json=dict(contract.example)).get_json()
    assert schema(document, "Prediction").is_valid(prediction)
    described = document["paths"]["/predict"]["post"]["responses"]
    for request in bad_requests(contract):
        if request.path != "/predict" or request.method != "POST":
            continue
        answer = client.post(request.path, data=request.body, headers=list(request.headers))
        assert str(answer.status_code) in described
        assert schema(document, "Problem").is_valid(answer.get_json())


@pytest.mark.parametrize(
    "value",
    [
        *(
            "a",
            "a.b-c_1",
            "x" * 64,
            "x" * 65,
            "x" * 255,
            "x" * 256,
            "a b",
            "",
            "{1}",
            "a/b",
            "\u00e9",
        ),
        *("Root=1-67891233-abcdef012345678912345678", "00-0af7651916cd43dd8448eb211c80319c-01"),
    ],
)
def test_header_is_refused_only_if_described_so(
    document: dict[str, Any], app: Flask, contract: Contract, value: str
) -> None:
    """The server refuses a header's value if, and only if, the document calls it invalid."""
    answered = document["components"]["headers"]["RequestId"]["schema"]
    parameters = document["components"]["parameters"].values()
    for parameter in (each for each in parameters if each["in"] == "header"):
        headers = {parameter["name"]: value}
        answer = app.test_client().post("/predict", json=dict(contract.example), headers=headers)
        is_valid = jsonschema_rs.Draft202012Validator(parameter["schema"]).is_valid(value)
        assert answer.status_code == (200 if is_valid else 400), parameter["name"]
        given = answer.headers["X-Request-Id"]
        assert jsonschema_rs.Draft202012Validator(answered).is_valid(given)


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json", "/health/live", "/metrics"])
def test_every_operation_takes_a_request_id(
    document: dict[str, Any], app: Flask, path: str
) -> None:
    """Every operation is described with the header that names its request."""
    parameters = document["paths"][path]["get"]["parameters"]
    assert parameters == [{"$ref": "#/components/parameters/RequestId"}]
    answer = app.test_client().get(path, headers={"X-Request-Id": "mine"})
    assert answer.headers["X-Request-Id"] == "mine"


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ({"Accept": "text/csv"}, 200),
        ({"Accept": "application/json;q=0"}, 200),
        ({"Content-Encoding": "identity"}, 200),
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json; charset=UTF-8"}, 200),
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "text/json"}, 415),
    ],
)
def test_other_headers_have_a_described_answer(
    document: dict[str, Any], app: Flask, contract: Contract, header: dict[str, str], status: int
) -> None:
    """Whatever a header says, the answer has a status and a type that the document describes."""
    body = json.dumps(contract.example)
    headers = {"Content-Type": "application/json", **header}
    answer = app.test_client().post("/predict", data=body, headers=headers)
    assert answer.status_code == status
    described = document["paths"]["/predict"]["post"]["responses"][str(status)]
    if "$ref" in described:
        described = document["components"]["responses"][described["$ref"].split("/")[-1]]
    assert answer.mimetype in described["content"]


def test_published_schema_refuses_bad_customers(
    document: dict[str, Any], contract: Contract
) -> None:
    """A customer that the server refuses is invalid by the published schema."""
    customer = schema(document, "Customer")
    for request in bad_requests(contract):
        if request.status == 422 and request.path == "/predict":
            assert not customer.is_valid(json.loads(request.body)), request.name


def test_description_follows_the_model(
    tmp_path: Path, documented: Contract, full: Contract
) -> None:
    """The document describes the contract of the model in use."""
    served = ServedModel(None, "no model yet")
    client = application(served, documented).test_client()
    assert "No model is in use" in client.get("/openapi.json").get_json()["info"]["description"]
    served.predictor = predictor(tmp_path / "model", full)
    document = client.get("/openapi.json").get_json()
    assert document == openapi_document(full, RUN_ID)


def test_problem_types_link_to_the_docs(app: Flask) -> None:
    """The type of each problem links to its row on the documentation page."""
    page = app.test_client().get("/docs").text
    for kind in KINDS.values():
        path, row = kind.type.split("#")
        assert path == "/docs"
        assert f'id="{row}"' in page
