"""Moments of monitoring's history."""

from datetime import datetime

from mlstack.quality.drift_history import Moment


def moment(at: datetime, *drifted: str, run_id: str = "a" * 32) -> Moment:
    """Return what monitoring knew at a time; every drifted feature is a tenth of all."""
    return Moment(
        at=at,
        run_id=run_id,
        drifted=drifted,
        share_drifted=len(drifted) / 10,
        prediction_drifted=False,
        coverage=0.5,
        measured=0.3,
        estimated=0.31,
        trained=0.29,
    )
