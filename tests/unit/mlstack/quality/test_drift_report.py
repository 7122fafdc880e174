"""The drawn comparison: one page of its own, that says what the figures say."""

import re

import pytest

from mlstack.contract import Contract
from mlstack.quality.drift_page import drift_html
from support.contracts import CONTRACTS
from support.customers import contract_named, customers, with_outcomes

MIB = 1024**2
_LOADED = re.compile(r"""<(?:script|link|img)[^>]+(?:src|href)=["']?(https?:)?//""", re.IGNORECASE)


@pytest.fixture(scope="module", params=CONTRACTS)
def contract(request: pytest.FixtureRequest) -> Contract:
    return contract_named(request.param)


def test_the_page_has_drift_and_quality_and_loads_nothing(contract: Contract) -> None:
    current = with_outcomes(customers(contract, 400, drift="incomes_rise"))
    current.loc[:99, "target"] = None
    reference = with_outcomes(customers(contract, 1000))
    page = drift_html(contract, reference, current)
    assert "Dataset Drift is detected" in page
    assert "Quality on 300 known outcomes" in page
    for name in contract.feature_names:
        assert name in page
    assert len(page) < 6 * MIB
    assert not _LOADED.search(page)


def test_without_outcomes_there_is_drift_alone(contract: Contract) -> None:
    reference = with_outcomes(customers(contract, 1000))
    page = drift_html(contract, reference, customers(contract, 400))
    assert "Dataset Drift is NOT detected" in page
    assert "known outcomes" not in page


def test_outcomes_of_one_class_are_no_reason_to_fail(contract: Contract) -> None:
    reference = with_outcomes(customers(contract, 1000))
    current = customers(contract, 400).assign(target=0.0)
    assert "known outcomes" not in drift_html(contract, reference, current)


def test_a_column_without_a_value_is_no_reason_to_fail(contract: Contract) -> None:
    reference, current = customers(contract, 1000), customers(contract, 400)
    current["credit_limit"] = float("nan")
    assert "months_on_book" in drift_html(contract, reference, current)
