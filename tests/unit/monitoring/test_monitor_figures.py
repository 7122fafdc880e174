"""The monitoring service exports and shows no figure with too little behind it."""

import pytest

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.quality.drift import MIN_ROWS
from mlstack.quality.reference import Reference
from mlstack.quality.results import MIN_OUTCOMES
from monitoring.evidently_service.calculation import Calculation, Calculator
from monitoring.evidently_service.metrics import Metrics
from monitoring.evidently_service.monitor import Monitor, State
from monitoring.evidently_service.page import Page
from monitoring.evidently_service.rows import Row
from monitoring.evidently_service.window import Snapshot
from tests.support.customers import contract_named, customers, with_outcomes
from tests.support.monitors import monitor_in

RUN_ID, OTHER = "a" * 32, "b" * 32
ROWS = 300


@pytest.fixture(scope="module")
def contract() -> Contract:
    return contract_named("credit_card_churn")


@pytest.fixture(scope="module")
def calculator(contract: Contract) -> Calculator:
    return Calculator(Reference(RUN_ID, contract, with_outcomes(customers(contract, 500)), None))


def _calculate(calculator: Calculator, *, outcomes: int, own: int = ROWS) -> Calculation:
    contract = calculator.reference.contract
    drawn = customers(contract, ROWS)
    rows = [
        Row(
            customer={name: row[name] for name in contract.feature_names},
            prediction=row[PREDICTION],
            target=number % 2 if number < outcomes else None,
            run_id=RUN_ID if number < own else OTHER,
        )
        for number, row in enumerate(drawn.to_dict("records"))
    ]
    return calculator.calculate(Snapshot(1, rows))


def _monitor(calculator: Calculator, calculation: Calculation) -> Monitor:
    return monitor_in(State(RUN_ID, calculator, calculation, ""), ROWS)


def _metrics(calculator: Calculator, calculation: Calculation) -> dict[str, float]:
    rendered = (
        Metrics(_monitor(calculator, calculation), calculator.reference.contract).render().decode()
    )
    lines = (line.rsplit(" ", 1) for line in rendered.splitlines() if line.startswith("evidently"))
    return {name.partition("{")[0]: float(value) for name, value in lines}


@pytest.mark.parametrize("outcomes", [0, 1, MIN_OUTCOMES - 1])
def test_too_few_outcomes_have_no_gauge(calculator: Calculator, outcomes: int) -> None:
    """The coverage alone tells how many are known; the page gives their number."""
    calculation = _calculate(calculator, outcomes=outcomes)
    metrics = _metrics(calculator, calculation)
    measured = {name for name in metrics if name.startswith("evidently:quality:")}
    assert measured == {"evidently:quality:coverage"}
    assert metrics["evidently:quality:coverage"] == outcomes / ROWS
    assert metrics["evidently:estimated_quality:rmse"] > 0
    page = Page(_monitor(calculator, calculation), calculator.reference.contract)
    values = page.template_values()
    assert [figures[1] for _, figures in values["quality"]] == ["-"] * 5
    said = f"too few outcomes ({outcomes})" if outcomes else "no outcome is known yet"
    assert said in values["too_few_outcomes"]


def test_enough_outcomes_have_gauges(calculator: Calculator) -> None:
    """From the minimum on, all figures are exported."""
    metrics = _metrics(calculator, _calculate(calculator, outcomes=MIN_OUTCOMES))
    for name in ("rmse", "logloss", "auc", "calibration_error", "coverage"):
        assert f"evidently:quality:{name}" in metrics


@pytest.mark.parametrize("own", [0, 1, MIN_ROWS - 1])
def test_new_deployment_has_no_figures_yet(calculator: Calculator, own: int) -> None:
    """Too few predictions of the deployed run have no estimate, distribution or drift."""
    calculation = _calculate(calculator, outcomes=0, own=own)
    metrics = _metrics(calculator, calculation)
    kinds = ("estimated_quality:", "prediction:", "prediction_drift:")
    assert not [n for n in metrics if n.startswith(tuple(f"evidently:{kind}" for kind in kinds))]
    page = Page(_monitor(calculator, calculation), calculator.reference.contract)
    assert page.template_values()["no_estimate"] == f"too few predictions ({own})"
