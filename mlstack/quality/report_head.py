"""The head of a report: all that services which make no reports need to read."""

from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pymongo import DESCENDING, MongoClient

from mlstack.prediction_log.mongo_database import DATABASE, mongo_errors

REPORTS = "report"
"""Collection with one document per report."""


class ReportHead(BaseModel):
    """The head of a report."""

    model_config = ConfigDict(frozen=True)

    created_at: AwareDatetime

    n_predictions: int
    """Number of predictions in the window; approximate if only some of them were compared."""

    verdict: Literal["drift", "no drift"]
    """`drift` if a feature or the prediction has drifted."""

    drifted_features: tuple[str, ...] = Field(strict=False)

    html: str
    """File name of the page."""


def newest_report(client: MongoClient[dict[str, Any]], contract: str) -> ReportHead | None:
    """Return the head of a contract's newest report; None if it has none.

    Raises StorageUnavailable if MongoDB does not answer.
    """
    with mongo_errors():
        found = client[DATABASE][REPORTS].find_one(
            {"contract.name": contract},
            dict.fromkeys(ReportHead.model_fields, 1),
            sort=[("created_at", DESCENDING)],
        )
    return None if found is None else ReportHead.model_validate(found)
