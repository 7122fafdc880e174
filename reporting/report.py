"""A report as it is kept: what was compared, and what came of it."""

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)


class ContractVersion(_Kept):
    """The contract, as predictions name it."""

    name: str
    hash: str


class Window(_Kept):
    """A time window: from `start` on, until just before `end`."""

    start: AwareDatetime
    end: AwareDatetime

    def __str__(self) -> str:
        same_day = self.start.date() == self.end.date()
        return (
            f"{self.start:%Y-%m-%d %H:%M} to {self.end:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}}"
        )


class Baseline(_Kept):
    """What the window was compared with."""

    kind: Literal["window before", "training data"]
    rows: int
    window: Window | None = None
    """Of the window before."""

    @property
    def title(self) -> str:
        """What people call it."""
        return "the training data" if self.window is None else f"the window before ({self.window})"


class Drift(_Kept):
    """How far a feature, or the prediction, has moved; see `drift_detection.ColumnDrift`."""

    column: str
    method: str
    score: float
    threshold: float
    drifted: bool
    missing_share: float
    reference_missing_share: float


class Quality(_Kept):
    """How well predictions meet outcomes; see `mlstack.quality.figures.Quality`."""

    rmse: float
    logloss: float
    auc: float | None
    calibration_error: float
    coverage: float


class Report(_Kept):
    """One report: a document of `prediction_service.report`."""

    name: str = Field(pattern=r"^\d{8}T\d{6}Z-[a-z][a-z0-9_]*$")
    """Sorts by time; its page is called so too."""

    created_at: AwareDatetime
    flow_run_id: str
    contract: ContractVersion
    model_run_id: str
    """The model that the report is about: the newest that has answered."""

    window: Window
    n_predictions: int
    """In the window."""

    n_compared: int
    """How many of them, the newest ones, were compared: all, up to a limit."""

    n_rescored: int
    """How many rows of both sides another model had answered: this one was asked anew."""

    compared_with: Baseline

    verdict: Literal["drift", "no drift"]
    """`drift`: a feature or the prediction has drifted."""

    drifted_features: tuple[str, ...] = Field(strict=False)
    share_drifted: float
    """Share of the features that have drifted."""

    features: tuple[Drift, ...] = Field(strict=False)
    prediction: Drift

    quality: Quality | None
    """On the outcomes that are known; None: none is."""

    baseline_quality: Quality | None
    """The same of the window before; compared with training data it is that on the validation
    rows, which the model had not seen."""

    estimated_quality: Quality
    """What the model's own chances let expect; see `mlstack.quality.figures.estimated_quality`."""

    html: str
    """File name of the page."""


def report_name(created_at: datetime, contract: str) -> str:
    """Name of a report: safe in a file name and an address, and sorted by time.

    Args:
        created_at: In UTC.
        contract: Name of the contract.
    """
    return f"{created_at:%Y%m%dT%H%M%SZ}-{contract}"
