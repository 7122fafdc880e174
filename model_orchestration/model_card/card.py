"""A model card as a page: one HTML file that loads nothing, and a summary for MLflow."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mlstack.contract import Contract
from mlstack.data.dataset import SplitRows
from mlstack.model.mlflow_api import DATA_KEY_TAG, DATA_TAG, REVISION_TAG
from mlstack.model.targets import Scores
from mlstack.quality.intervals import LEVEL, SEED
from mlstack.quality.results import MIN_OUTCOMES_PER_CLASS, MIN_SLICE, explain_outcomes
from model_orchestration.model_card.chart import calibration_chart
from model_orchestration.model_card.coverage import CleanUp, covered, limits
from model_orchestration.model_card.measured import measure_model
from model_orchestration.model_card.templates import templates
from model_orchestration.registration import Registration


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a registered model comes from.

    Args:
        run_id: Its run in MLflow.
        tags: As `tracking.provenance` returns them.
        trials: Number of models that were searched.
        seed: Seed of the search.
        clean_up: What cleaning did to the raw table.
        made_at: When it was registered, in UTC.
    """

    run_id: str
    tags: Mapping[str, str]
    trials: int
    seed: int
    clean_up: CleanUp
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Card:
    """A model card: the page, and what a version's description in MLflow says."""

    page: str
    summary: str


def make_card(
    contract: Contract,
    registered: Registration,
    origin: Origin,
    parts: SplitRows,
    scores: Scores,
) -> Card:
    """Measure a model and write its card; `scores` are those of the test rows."""
    found = measure_model(contract, parts.test, scores)
    page = templates.get_template("card.html").render(
        contract=contract,
        registered=registered,
        origin=origin,
        key=origin.tags[DATA_KEY_TAG],
        digest=origin.tags[DATA_TAG],
        revision=origin.tags[REVISION_TAG],
        libraries={
            name.removeprefix("version."): version
            for name, version in origin.tags.items()
            if name.startswith("version.")
        },
        parts=parts,
        found=found,
        too_few=explain_outcomes(len(parts.test)),
        level=LEVEL,
        seed=SEED,
        min_slice=MIN_SLICE,
        min_per_class=MIN_OUTCOMES_PER_CLASS,
        chart=calibration_chart(contract.target, found) if found.figures else "",
        covered=covered(contract, parts.train),
        limits=limits(contract, parts, origin.clean_up, found),
    )
    figures = [f"{each.title} {each.value} ({each.interval})" for each in found.figures]
    measured = ", ".join(figures) or explain_outcomes(len(parts.test))
    summary = (
        f"{contract.description} Test rows: {len(parts.test):,}; {measured}. "
        f"Table: {origin.tags[DATA_TAG][:12]}, {origin.clean_up.raw_rows:,} rows."
    )
    return Card(page, summary)
