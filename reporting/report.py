"""A report as stored in MongoDB: what was compared, and the result."""

import re
from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from mlstack.quality.report_head import ReportHead
from mlstack.quality.results import ColumnDrift, Quality, SliceFigures


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True)


class ContractVersion(_Document):
    """Name and digest of a contract, as in stored predictions."""

    name: str
    hash: str


class Window(_Document):
    """A time window: includes `start`, excludes `end`."""

    start: AwareDatetime
    end: AwareDatetime

    def __str__(self) -> str:
        same_day = self.start.date() == self.end.date()
        return (
            f"{self.start:%Y-%m-%d %H:%M} to {self.end:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}}"
        )


class Baseline(_Document):
    """Kind and size of the reference."""

    kind: Literal["window before", "training data"]
    rows: int
    """Number of rows compared."""
    n_predictions: int | None = None
    """Number of predictions in the previous window, about so many if `rows` are a sample of them;
    None for training data and in reports of earlier versions."""
    share_error: float | None = None
    """As in a report."""
    window: Window | None = None
    """The previous window; None for training data."""
    n_outcomes: int | None = None
    """Number of its known outcomes; None for training data and in reports of earlier versions."""

    @property
    def title(self) -> str:
        """How pages and messages refer to the reference."""
        return "the training data" if self.window is None else f"the window before ({self.window})"

    @property
    def size(self) -> str:
        """How many rows were compared, and how exact their shares are if they are a sample."""
        return compared_size(self.rows, self.n_predictions or self.rows, self.share_error, "rows")


class Report(ReportHead):
    """One report: a document of `prediction_service.report`."""

    name: str = Field(pattern=r"^\d{8}T\d{6}Z-[a-z][a-z0-9_]*$")
    """Sorts by time; also the name of the page."""

    flow_run_id: str
    contract: ContractVersion
    model_run_id: str
    """Run of the newest prediction in the window."""

    window: Window
    n_compared: int
    """Number of predictions compared: a random sample if they are more than `MAX_ROWS`."""

    share_error: float | None = None
    """Margin of error of a share of the predictions (95 % confidence), 0 if all were compared; None
    in reports of earlier versions."""

    n_rescored: int
    """Rows that another model had predicted and this one rescored."""

    compared_with: Baseline

    share_drifted: float
    """Share of the features that have drifted."""

    features: tuple[ColumnDrift, ...] = Field(strict=False)
    prediction: ColumnDrift

    n_outcomes: int | None = None
    """Number of compared predictions with a known outcome; None in reports of earlier versions."""

    quality: Quality | None
    """Quality on the known outcomes; None with fewer than `MIN_OUTCOMES`."""

    baseline_quality: Quality | None
    """Quality on the reference, None with fewer than `MIN_OUTCOMES`; for training data, on the
    unseen validation rows."""

    estimated_quality: Quality | None
    """Estimated from the probabilities alone; None for a target that is a number."""

    classes: tuple[str, ...] = Field(default=(), strict=False)
    """Labels of a target with three classes or more, in the order of `confusion`."""

    slices: tuple[SliceFigures, ...] = Field(default=(), strict=False)
    """The contract's slices, in its order."""

    @property
    def size(self) -> str:
        """How many predictions there are, and how exact their shares are if not all count."""
        return compared_size(self.n_compared, self.n_predictions, self.share_error, "predictions")


PAGE = re.compile(r"[0-9]{8}T[0-9]{6}Z-[a-z0-9_]+\.html")
"""What the name of a report's page looks like."""


def compared_size(compared: int, total: int, error: float | None, what: str) -> str:
    """Say how many were compared: all of them, or a sample and how exact it is."""
    if compared >= total:
        return f"{total:,} {what}"
    sample = f"a sample of {compared:,} of about {total:,} {what}"
    if error is None:
        return sample
    points = f"±{100 * error:.2g} percentage points (95 % confidence)"
    return f"{sample}; shares are exact to {points}"


def report_name(created_at: datetime, contract: str) -> str:
    """Return a report's name from its UTC time: safe in URLs, and sorts by time."""
    return f"{created_at:%Y%m%dT%H%M%SZ}-{contract}"
