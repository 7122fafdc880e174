"""Which predictions a report is about."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun

from reporting.create_report import window_end

DUE = datetime(2026, 1, 1, 12, tzinfo=UTC)
NOW = DUE + timedelta(seconds=40)


@pytest.mark.parametrize(("scheduled", "end"), [(True, DUE), (False, NOW)])
def test_a_scheduled_window_ends_when_due_and_one_by_hand_now(
    *, scheduled: bool, end: datetime
) -> None:
    run = FlowRun.model_validate(
        {"flow_id": uuid4(), "auto_scheduled": scheduled, "expected_start_time": DUE}
    )
    assert window_end(run, NOW) == end


def test_outside_of_a_run_it_ends_now() -> None:
    assert window_end(None, NOW) == NOW
