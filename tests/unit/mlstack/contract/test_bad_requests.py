"""The complete table of bad requests: each is refused with its status, code and pointers."""

import re
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from mlstack.contract import Contract
from mlstack.errors import MAX_ERRORS
from mlstack.settings import ROOT
from tests.support.api import ServedModel, application, predictor
from tests.support.bad_requests import BadRequest, bad_requests
from tests.support.contracts import CONTRACTS

REQUESTS = {
    name: bad_requests(Contract.load(ROOT / "contracts" / f"{name}.yaml")) for name in CONTRACTS
}


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FlaskClient]:
    made = {}
    for name in CONTRACTS:
        contract = Contract.load(ROOT / "contracts" / f"{name}.yaml")
        folder: Path = tmp_path_factory.mktemp(name) / "model"
        made[name] = application(ServedModel(predictor(folder, contract)), contract).test_client()
    return made


def test_table_has_150_requests_for_each_contract() -> None:
    for requests in REQUESTS.values():
        names = [request.name for request in requests]
        assert len(set(names)) == len(names) >= 150


@pytest.mark.parametrize(
    ("contract_name", "request_"),
    [
        pytest.param(name, request, id=f"{name}: {request.name}")
        for name in CONTRACTS
        for request in REQUESTS[name]
    ],
)
def test_bad_request_is_refused_as_the_table_says(
    clients: dict[str, FlaskClient], contract_name: str, request_: BadRequest
) -> None:
    answer = clients[contract_name].open(
        request_.path, method=request_.method, headers=list(request_.headers), data=request_.body
    )
    assert answer.status_code == request_.status
    assert answer.mimetype == "application/problem+json"
    if request_.method == "HEAD":
        return
    problem = answer.get_json()
    assert (problem["code"], problem["status"]) == (request_.code, request_.status)
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    assert len(problem["errors"]) <= MAX_ERRORS
    # The long texts of the table are one character repeated.
    assert not re.search(r"(.)\1{64}", answer.text), "more than 64 characters come back"
    if request_.pointers is not None:
        told = {error["pointer"]: error["code"] for error in problem["errors"]}
        assert set(told) == set(request_.pointers)
        assert all(
            told[pointer] == fault
            for pointer, fault in zip(request_.pointers, request_.faults, strict=False)
        )
    if request_.status == 405:
        assert answer.headers["Allow"]
