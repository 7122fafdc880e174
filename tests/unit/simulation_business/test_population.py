"""Customers of a contract without a sample come from the marginals of the model in use."""

import logging
from collections.abc import Iterator

import pytest

from mlstack.contract import Contract
from mlstack.data.dataset import clean, read_raw
from mlstack.data.marginals import Marginals
from mlstack.settings import ROOT, Settings
from mlstack.waiting import Unavailable
from simulation_business.population import Population
from tests.support.http_double import HttpDouble, status

NOT_READY = status(503, b'{"detail": "no model"}')


@pytest.fixture
def alone(documented: Contract) -> Contract:
    return documented.model_copy(
        update={"data": documented.data.model_copy(update={"sample": None})}
    )


@pytest.fixture
def marginals(documented: Contract) -> Marginals:
    rows = clean(read_raw(ROOT / str(documented.data.sample)), documented)
    return Marginals.fit(rows.head(200).assign(gender="F"), documented)


@pytest.fixture
def double(alone: Contract, marginals: Marginals) -> Iterator[HttpDouble]:
    with HttpDouble(alone) as double:
        double.marginals = marginals.text().encode()
        yield double


@pytest.fixture
def population(double: HttpDouble, alone: Contract) -> Population:
    return Population(alone, Settings(api_url=double.url), seed=1, give_up=5)


def test_customers_come_from_the_model_in_use(population: Population) -> None:
    """In these marginals everybody is a woman."""
    assert {customer["gender"] for customer in population.draw(50)} == {"F"}


def test_first_batch_waits_for_a_model(population: Population, double: HttpDouble) -> None:
    """Without a model nothing is known about its customers."""
    double.faults.append(NOT_READY)
    assert {customer["gender"] for customer in population.draw(50)} == {"F"}


def test_later_batches_do_not_wait(population: Population, double: HttpDouble) -> None:
    """While the server is down, customers keep coming."""
    population.draw(1)
    double.faults.append(NOT_READY)
    assert {customer["gender"] for customer in population.draw(50)} == {"F"}


def test_model_of_another_contract_is_waited_out(double: HttpDouble, full: Contract) -> None:
    """Its customers would be rejected."""
    other = full.model_copy(update={"data": full.data.model_copy(update={"sample": None})})
    population = Population(other, Settings(api_url=double.url), seed=1, give_up=0)
    with pytest.raises(Unavailable, match="another contract"):
        population.draw(1)


def test_model_without_marginals_is_said(
    population: Population, double: HttpDouble, caplog: pytest.LogCaptureFixture
) -> None:
    """Models of earlier releases have none: customers are drawn evenly."""
    double.marginals = b"null"
    with caplog.at_level(logging.WARNING):
        assert {customer["gender"] for customer in population.draw(50)} == {"F", "M"}
    assert "make train" in caplog.text


def test_sample_needs_no_server(documented: Contract) -> None:
    """A contract with a sample is drawn from it, whatever serves."""
    assert Population(documented, Settings(api_url="http://127.0.0.1:1"), seed=1).draw(3)
