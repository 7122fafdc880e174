"""What the stream server tells of its shards."""

from datetime import UTC, datetime, timedelta

import pytest

from server.stream.metrics import StreamMetrics


class Clock:
    """Goes on when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 1000.0
        monkeypatch.setattr("time.monotonic", lambda: self.seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_shard_whose_reads_find_nothing_any_more_stands(clock: Clock) -> None:
    with StreamMetrics().reading("s") as shard:
        shard.settled(0)
        clock.seconds += 400
        assert shard.checkpoint_age_seconds == 400


def test_a_quiet_shard_does_not_stand_where_nothing_is_heard_of_empty_reads(clock: Clock) -> None:
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
