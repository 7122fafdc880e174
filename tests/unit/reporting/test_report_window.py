"""The window that a report is about."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from reporting.create_report import window_end

DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = DUE + timedelta(seconds=40)


@pytest.mark.parametrize(("scheduled", "end"), [(True, DUE), (False, NOW)])
def test_window_ends_when_the_run_is_due(*, scheduled: bool, end: datetime) -> None:
    """The window of a scheduled run ends when it is due; by hand it ends now."""
    run = FlowRun.model_validate(
        {"flow_id": uuid4(), "auto_scheduled": scheduled, "expected_start_time": DUE}
    )
    assert window_end(run, NOW) == end


def test_window_without_a_run_ends_now() -> None:
    """Called outside of a flow run, the window ends now."""
    assert window_end(None, NOW) == NOW
