"""Tests of drifts: they change customers as their file says, within the contract."""

from pathlib import Path
from statistics import mean

import pytest

from mlstack.contract import CategoryFeature, Contract
from mlstack.contract.customer_schema import Customer, CustomerValidator
from mlstack.contract.drifts import DriftingCustomers, drifts_path, load_drift, load_drifts
from mlstack.data.customer_generator import CustomerGenerator
from mlstack.errors import DriftError
from mlstack.settings import ROOT

PATH = drifts_path(ROOT / "contracts" / "credit_card_churn.yaml")
TEXT = PATH.read_text()


def path_of(contract: Contract) -> Path:
    return drifts_path(ROOT / "contracts" / f"{contract.name}.yaml")


def drifted(contract: Contract, name: str, customers: list[Customer]) -> list[Customer]:
    drift = load_drift(contract, path_of(contract), name)
    return DriftingCustomers(contract, drift, seed=1).apply(customers)


def without_sample(contract: Contract) -> Contract:
    """Customers of it are drawn evenly from all that a feature may be."""
    data = contract.data.model_copy(update={"sample": None})
    return contract.model_copy(update={"data": data})


def column(customers: list[Customer], name: str) -> list[float]:
    return [float(value) for c in customers if isinstance(value := c[name], int | float)]


@pytest.mark.parametrize("sample", [True, False], ids=["sample", "anything"])
def test_customers_stay_valid_after_every_drift(contract: Contract, *, sample: bool) -> None:
    source = contract if sample else without_sample(contract)
    customers = CustomerGenerator(source, seed=1).draw(500)
    validator = CustomerValidator(contract)
    for name in load_drifts(contract, path_of(contract)):
        for customer in drifted(contract, name, customers):
            assert validator.validate(customer) == customer


def test_drift_changes_many_customers_in_copies(contract: Contract) -> None:
    customers = CustomerGenerator(contract, seed=1).draw(500)
    before = [dict(customer) for customer in customers]
    for name in load_drifts(contract, path_of(contract)):
        after = drifted(contract, name, customers)
        changed = sum(old != new for old, new in zip(customers, after, strict=True))
        assert 0.4 * 500 < changed < 500
        assert customers == before


def test_shipped_drifts_do_what_their_names_say(contract: Contract) -> None:
    customers = CustomerGenerator(contract, seed=1).draw(1000)

    def ratio(name: str, feature: str) -> float:
        return mean(column(drifted(contract, name, customers), feature)) / mean(
            column(customers, feature)
        )

    assert ratio("incomes_rise", "income_category") > 1.2
    assert ratio("young_customers_arrive", "customer_age") < 0.8
    assert ratio("limits_are_cut", "credit_limit") < 0.6


def test_same_seed_changes_the_same_customers(documented: Contract) -> None:
    customers = CustomerGenerator(documented, seed=1).draw(100)
    drift = load_drift(documented, PATH, "incomes_rise")
    first, again, other = (
        DriftingCustomers(documented, drift, seed).apply(customers) for seed in (4, 4, 5)
    )
    assert first == again != other


def test_missing_value_stays_missing_unless_fixed(full: Contract, tmp_path: Path) -> None:
    path = tmp_path / "drifts.yaml"
    path.write_text(
        "contract: credit_card_churn_full\ndrifts:\n  some:\n    meaning: m\n    share: 1.0\n"
        "    features:\n      income_category: {add: 1}\n      education_level: {fix: 2}\n"
        "      marital_status: {replace: {from: [single], to: married}}\n"
    )
    gone = {"income_category": None, "education_level": None, "marital_status": None}
    drift = load_drift(full, path, "some")
    (changed,) = DriftingCustomers(full, drift, 1).apply([dict(full.example) | gone])
    assert changed == dict(full.example) | gone | {"education_level": 2}


def test_changes_stay_in_range(documented: Contract, tmp_path: Path) -> None:
    path = tmp_path / "drifts.yaml"
    path.write_text(
        "contract: credit_card_churn\ndrifts:\n  some:\n    meaning: m\n    share: 1.0\n"
        "    features:\n      income_category: {add: 9}\n      customer_age: {add: -900}\n"
        "      months_on_book: {multiply: 0.3}\n      credit_limit: {multiply: 1.0e+300}\n"
        "      total_relationship_count: {clip: [5, 6]}\n"
    )
    drift = load_drift(documented, path, "some")
    (changed,) = DriftingCustomers(documented, drift, 1).apply([dict(documented.example)])
    assert changed["income_category"] == 4
    assert changed["customer_age"] == 18
    assert changed["months_on_book"] == 1
    assert isinstance(changed["months_on_book"], int)
    assert changed["credit_limit"] == 10_000_000
    assert changed["total_relationship_count"] == 5


@pytest.mark.parametrize(
    ("old", "new", "at", "reason"),
    [
        ("contract: credit", "contract: other_credit", "contract: other", "another contract"),
        ("contract: credit", "contrakt: credit", "contrakt", "Extra inputs"),
        ("  incomes_rise:", "  Incomes rise:", "  Incomes rise:", "pattern"),
        ("  limits_are_cut:", "  incomes_rise:", "  incomes_rise:\n    meaning: The", "twice"),
        ("share: 0.8", "share: 1.8", "share: 1.8", "less than or equal to 1"),
        ("share: 0.8", "share: yes", "share: yes", "number"),
        ("share: 0.8", "chance: 0.8", "chance: 0.8\n    feat", "Extra inputs"),
        ("income_category: {add", "income: {add", "income: {add", "is not a feature of"),
        ("{add: 1}", "{ad: 1}", "income_category: {ad", "Extra inputs"),
        ("{add: 1}", "{}", "income_category: {}", "needs one of"),
        ("{add: 1}", "{add: 1, fix: 2}", "income_category: {add: 1, f", "needs one of"),
        ("{add: 1}", "{add: 1.5}", "income_category: {add: 1.5", "a whole number"),
        ("{add: 1}", "{add: one}", "income_category: {add: one", "valid"),
        ("{add: 1}", "{multiply: 2}", "income_category: {mul", "supports only add, clip, repl"),
        ("{add: 1}", "{fix: 5}", "income_category: {fix: 5", "5 is not a value"),
        ("{add: 1}", "{fix: 1.0}", "income_category: {fix: 1.0", "1.0 is not a value"),
        ("{add: 1}", "{clip: [3, 2]}", "income_category: {clip", "is empty"),
        ("{add: 1}", "{clip: [3]}", "income_category: {clip", "required"),
        ("{add: -22}", "{clip: [10, 20]}", "customer_age: {clip", "10 is not a value"),
        ("{add: -22}", "{replace: {from: [20], to: 21}}", "customer_age: {rep", "supports only"),
        ("{multiply: 0.4}", "{multiply: -1}", "credit_limit: {multiply: -1", "greater than"),
        ("{multiply: 0.4}", "{multiply: .nan}", "credit_limit: {multiply: .nan", "valid"),
        ("to: single}", "to: alone}", "marital_status: {", "'alone' is not a value"),
        ("from: [married, divorced]", "from: [wed]", "marital_status: {", "'wed' is not a value"),
        ("from: [married, divorced]", "from: []", "marital_status: {", "at least 1 item"),
        ("{fix: 0, chance: 0.8}", "{fix: 0, chance: 0}", "dependent_count: {", "greater than 0"),
    ],
)
def test_mistake_is_refused_with_line_and_reason(
    *, documented: Contract, tmp_path: Path, old: str, new: str, at: str, reason: str
) -> None:
    assert old in TEXT
    text = TEXT.replace(old, new, 1)
    path = tmp_path / "drifts.yaml"
    path.write_text(text)
    with pytest.raises(DriftError) as caught:
        load_drifts(documented, path)
    assert reason in caught.value.reason
    assert caught.value.line == text[: text.rindex(at)].count("\n") + 1
    assert str(path) in str(caught.value)


def test_unknown_drift_is_refused_with_the_known_ones(documented: Contract) -> None:
    with pytest.raises(DriftError, match="'no_such'; choose from incomes_rise"):
        load_drift(documented, PATH, "no_such")


def test_missing_file_is_refused(documented: Contract, tmp_path: Path) -> None:
    with pytest.raises(DriftError, match="cannot be read"):
        load_drifts(documented, tmp_path / "none.yaml")


def test_category_refuses_arithmetic(documented: Contract, tmp_path: Path) -> None:
    path = tmp_path / "drifts.yaml"
    category = next(f.name for f in documented.features if isinstance(f, CategoryFeature))
    for change in ("{add: 1}", "{multiply: 2}", "{clip: [1, 2]}"):
        path.write_text(
            "contract: credit_card_churn\ndrifts:\n  some:\n    meaning: m\n    share: 1.0\n"
            f"    features:\n      {category}: {change}\n"
        )
        with pytest.raises(DriftError, match="supports only replace, fix"):
            load_drifts(documented, path)
