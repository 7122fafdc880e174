"""Public tables go from a file to a served and watched model, without a line of Python."""

import random
from pathlib import Path

import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_schema import CustomerValidator
from mlstack.contract.drifts import DriftingCustomers, load_drifts
from mlstack.data.customer_table import customer_table
from mlstack.data.dataset import clean, read_raw, split
from mlstack.data.marginals import Marginals
from mlstack.model.model import Model
from mlstack.model.model_files import EXTRA_FOLDER, MODEL_FILE
from mlstack.model.model_writer import write_extra_files
from mlstack.quality.drift import DriftDetector
from model_orchestration.search import search
from model_orchestration.trials import Rows
from operations.contract_draft.draft import draft_contract
from tests.support.public_tables import BINARY, MULTICLASS, REGRESSION, PublicTable

RUN_ID = "a" * 32
TRIALS = 2
CUSTOMERS = 1000


@pytest.mark.parametrize("table", [*BINARY, *REGRESSION, *MULTICLASS], ids=lambda table: table.name)
def test_table_is_learnt_served_and_watched(table: PublicTable, tmp_path: Path) -> None:
    """The draft trains unedited, its model answers drawn customers, and drift is told from none."""
    raw = read_raw(table.csv())
    draft = draft_contract(raw, table.target, table.name, f"{table.item}.csv")
    contract = Contract.parse(draft.contract)
    assert contract.target.kind == table.kind
    parts = split(clean(raw, contract), contract)
    model = _train(contract, draft.contract, parts.train, parts.validation, tmp_path / "model")

    assert model.marginals is not None
    marginals = Marginals.model_validate_json(model.marginals)
    draws = random.Random(1)
    drawn = [marginals.draw(contract, draws) for _ in range(CUSTOMERS)]
    validator = CustomerValidator(model.contract)
    customers = [validator.validate(customer) for customer in [dict(contract.example), *drawn]]
    assert len(model.score(customers)) == CUSTOMERS + 1

    detector = DriftDetector(contract, _scored(model, parts.train))
    calm = detector.compare_features(customer_table(drawn, contract))
    assert not calm.drifted_features
    drifts = tmp_path / "drifts.yaml"
    drifts.write_text(draft.drifts, encoding="utf-8")
    [drift] = load_drifts(contract, drifts).values()
    changed = DriftingCustomers(contract, drift, seed=1).apply(drawn)
    assert detector.compare_features(customer_table(changed, contract)).drifted


def _train(
    contract: Contract, text: str, train: pd.DataFrame, validation: pd.DataFrame, folder: Path
) -> Model:
    """Train and store a model as a search does, and load it as a server does."""
    encoded = [Rows.encode(rows, contract) for rows in (train, validation)]
    best = search(encoded[0], encoded[1], contract.target, trials=TRIALS, seed=1)
    assert best.booster is not None
    folder.mkdir()
    best.booster.save_model(folder / MODEL_FILE)
    marginals = Marginals.fit(train, contract)
    write_extra_files(best.booster, contract, text, folder / EXTRA_FOLDER, marginals)
    return Model.load(folder, RUN_ID)


def _scored(model: Model, rows: pd.DataFrame) -> pd.DataFrame:
    features = customer_table(rows, model.contract)
    return features.join(model.score_table(features))
