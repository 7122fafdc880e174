"""The metrics of a shard show lag and standstill."""

from datetime import UTC, datetime, timedelta

import pytest

from server.stream.metrics import StreamMetrics


class Clock:
    """Advances when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_checkpoint_age_grows_without_reads(clock: Clock) -> None:
    """A shard that is no longer read stands still."""
    with StreamMetrics().reading("s") as shard:
        shard.settled(0)
        clock.seconds += 400
        assert shard.checkpoint_age_seconds == 400


def test_quiet_shard_is_not_standing_still(clock: Clock) -> None:
    """Where empty reads are not reported, only records in hand make the age grow."""
    with StreamMetrics().reading("s", sees_empty_reads=False) as shard:
        shard.settled(0)
        clock.seconds += 400
        assert shard.checkpoint_age_seconds == 0
        shard.in_hand(datetime.now(UTC) - timedelta(seconds=1))
        clock.seconds += 10
        shard.in_hand(datetime.now(UTC))
        clock.seconds += 10
        assert shard.checkpoint_age_seconds == 20
        shard.settled(0)
        clock.seconds += 400
        assert shard.checkpoint_age_seconds == 0
