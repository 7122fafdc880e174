"""The published description is valid, whole, and true."""

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
from support.api import RUN_ID, Served, application, predictor
from support.bad_requests import bad_requests


@pytest.fixture
def app(tmp_path: Path, contract: Contract) -> Flask:
    return application(Served(predictor(tmp_path / "model", contract)), contract)


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
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_every_route_is_described(document: dict[str, Any], app: Flask) -> None:
    files = {"/static/<path:filename>", "/docs/<path:name>"}
    routes = {rule.rule for rule in app.url_map.iter_rules()} - files
    assert set(document["paths"]) == routes


def test_customer_is_that_of_the_contract(document: dict[str, Any], contract: Contract) -> None:
    properties = document["components"]["schemas"]["Customer"]["properties"]
    assert tuple(properties) == contract.feature_names


def test_model_in_use_is_named(document: dict[str, Any]) -> None:
    assert RUN_ID in document["info"]["description"]


def test_examples_are_what_the_schemas_ask_for(
    document: dict[str, Any], contract: Contract
) -> None:
    for name in ("Customer", "Prediction"):
        example = document["components"]["schemas"][name]["example"]
        assert schema(document, name).is_valid(example)
    assert contract.answer in document["components"]["schemas"]["Prediction"]["example"]


def test_every_kind_of_problem_that_a_body_can_meet_is_described_with_an_example(
    document: dict[str, Any],
) -> None:
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


def test_bad_customers_are_bad_by_the_published_schema(
    document: dict[str, Any], contract: Contract
) -> None:
    customer = schema(document, "Customer")
    for request in bad_requests(contract):
        if request.status == 422 and request.path == "/predict":
            assert not customer.is_valid(json.loads(request.body)), request.name


def test_description_follows_the_model(
    tmp_path: Path, documented: Contract, full: Contract
) -> None:
    served = Served(None, "no model yet")
    client = application(served, documented).test_client()
    assert "No model is in use" in client.get("/openapi.json").get_json()["info"]["description"]
    served.predictor = predictor(tmp_path / "model", full)
    document = client.get("/openapi.json").get_json()
    assert document == openapi_document(full, RUN_ID)


def test_type_of_every_problem_leads_to_its_row_in_the_documentation(app: Flask) -> None:
    page = app.test_client().get("/docs").text
    for kind in KINDS.values():
        path, row = kind.type.split("#")
        assert path == "/docs"
        assert f'id="{row}"' in page
