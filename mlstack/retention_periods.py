"""How long the stack keeps what it collects."""

from functools import partial
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_MOST_DAYS: Final = 18_250
"""Fifty years. Nothing is older, so a longer period means the same; and MLflow takes no time before
1970."""

_Capped = AfterValidator(partial(min, _MOST_DAYS))
_Days = Annotated[float, Field(gt=0), _Capped]


class RetentionPeriods(BaseModel):
    """The settings of retention, a part of `Settings`."""

    model_config = ConfigDict(frozen=True)

    keep_runs_days: _Days = 30
    """Retention of searches in MLflow and of local model copies. Runs that are deployed or have an
    alias are kept."""

    keep_deleted_days: Annotated[float, Field(ge=0), _Capped] = 7
    """How long deleted runs can be restored in MLflow."""

    keep_deployed_models: int = Field(default=5, ge=1)
    """Number of earlier deployments kept for `make rollback`, regardless of age."""

    keep_predictions_days: _Days = 30
    """Retention of predictions and outcomes in MongoDB."""

    keep_quarantine_days: _Days = 90
    """Retention of entries that can never be stored."""

    keep_reports_days: _Days = 30
    """Retention of reports, pages and documents, and of the monitoring page's history."""

    keep_history_days: Annotated[int, Field(ge=1), _Capped] = 14
    """Retention of Prefect's history: flow runs, their logs and events."""

    keep_logs_days: _Days = 14
    """Retention of rotated logs and of files that killed servers left behind."""
