"""Model cards of made-up models, one for each kind of target."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from mlstack.contract import Contract
from mlstack.data import dataset
from mlstack.data.dataset import SplitRows
from mlstack.model.mlflow_api import DATA_KEY_TAG, DATA_TAG, REVISION_TAG
from mlstack.model.targets import Scores
from model_orchestration.model_card.card import Card, Origin, make_card
from model_orchestration.model_card.coverage import CleanUp
from model_orchestration.registration import Registration
from tests.support.target_kinds import contract_text, raw_rows, scored_rows

SLICES = "slices:\n  - feature: country\n  - {feature: distance, cuts: [50, 99]}\nfeatures:"
TAGS: Mapping[str, str] = {
    DATA_TAG: "d" * 64,
    DATA_KEY_TAG: f"tables/{'d' * 64}.csv",
    REVISION_TAG: "c0ffee",
    "version.xgboost": "3.2.0",
}
ORIGIN = Origin(
    "a" * 32,
    TAGS,
    50,
    7,
    CleanUp(1510, ("left out: 10 rows without a target",)),
    datetime(2026, 11, 25, 12, tzinfo=UTC),
)
REGISTERED = Registration("parcels", "3", ("challenger",), "worse: test rmse 0.3")


@dataclass(frozen=True, eq=False)
class Example:
    """A made-up model's test."""

    contract: Contract
    parts: SplitRows
    scores: Scores


@cache
def card_of(test: Example) -> Card:
    """Make its card."""
    return make_card(test.contract, REGISTERED, ORIGIN, test.parts, test.scores)


@cache
def example(kind: str, rows: int = 1500, text: str | None = None) -> Example:
    """Test made-up scores; a third of the rows lack the distance."""
    contract = Contract.parse((text or contract_text(kind)).replace("features:", SLICES, 1))
    table = raw_rows(kind, rows)
    table.loc[table.index % 3 == 0, "Distance"] = ""
    parts = dataset.split(dataset.clean(table, contract), contract)
    outcomes, scores = scored_rows(kind, len(parts.test))
    test = parts.test.assign(**{contract.target.name: outcomes.to_numpy()})
    return Example(contract, parts._replace(test=test), scores)
