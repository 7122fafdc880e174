"""Keep what monitoring found over time: only figures, nothing about single customers."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pymongo import ASCENDING, IndexModel

from mlstack.prediction_log.mongo_database import DATABASE, mongo_client, mongo_errors
from mlstack.prediction_log.prediction import ID

HISTORY = "monitoring"
"""Collection with one document per moment."""

AT = "at"
_DATASET = "dataset"

INDEXES = [IndexModel([(AT, ASCENDING)])]  # reading, retention and backup


class Moment(BaseModel):
    """What monitoring knew at one time."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime

    run_id: str
    """The deployed run."""

    drifted: tuple[str, ...] = Field(strict=False)
    """Names of the features that had drifted."""

    share_drifted: float
    """Their share of all features."""

    prediction_drifted: bool

    coverage: float
    """Share of the run's predictions in the window that had an outcome."""

    measured: float | None
    """The figure that alerts judge by, from outcomes: rmse, or logloss of classes."""

    estimated: float | None
    """The same, estimated without outcomes."""

    trained: float | None
    """The same at training."""

    @property
    def calm(self) -> bool:
        """Whether neither customers nor predictions had drifted."""
        return not (self.drifted or self.prediction_drifted)


class HistoryStore:
    """A contract's moments in MongoDB; `seconds` limits each call.

    Every method raises StorageUnavailable when MongoDB does not answer. An invalid URI raises
    SettingsError.
    """

    def __init__(self, uri: str, dataset: str, seconds: float) -> None:
        self._client, self._dataset = mongo_client(uri, seconds), dataset
        self._moments = self._client[DATABASE][HISTORY]

    def load(self, since: datetime) -> list[Moment]:
        """Return the moments from a time on, oldest first."""
        with mongo_errors():
            self._moments.create_indexes(INDEXES)
            found = list(self._moments.find({AT: {"$gte": since}}, sort=[(AT, ASCENDING)]))
        return [Moment.model_validate(each) for each in found if each[_DATASET] == self._dataset]

    def save(self, moments: Sequence[Moment]) -> None:
        """Store moments; storing one again changes nothing."""
        with mongo_errors():
            for moment in moments:
                key = f"{self._dataset} {moment.at.isoformat()}"
                document = {ID: key, _DATASET: self._dataset, **moment.model_dump()}
                self._moments.replace_one({ID: key}, document, upsert=True)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
