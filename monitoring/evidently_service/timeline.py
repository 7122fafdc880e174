"""Arrange moments, deployments and alerts on one axis of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby

from mlstack.quality.drift_history import Moment
from monitoring.evidently_service.history import INTERVAL

_STEPS = 144
"""Number of steps that a chart can show."""

_LATE = 3
"""After so many intervals without a moment, the service was not calculating."""


@dataclass(frozen=True, slots=True)
class Firing:
    """A time in which an alert fired."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time for which one moment stands."""

    start: datetime
    end: datetime
    moment: Moment


@dataclass(frozen=True, slots=True)
class Timeline:
    """What a chart shows; all times are within `start` and `end`.

    Args:
        stretches: In order; times between them without any have no calculation.
        deployed: Times of successful deployments.
        firing: Alerts that fired; None if that is unknown.
    """

    start: datetime
    end: datetime
    stretches: Sequence[Stretch]
    deployed: Sequence[datetime]
    firing: Sequence[Firing] | None


def stretches(moments: Sequence[Moment], start: datetime, end: datetime) -> list[Stretch]:
    """Return what stands for each time between start and end.

    Of moments that are too close for a chart the one with the most drift counts, so that a short
    drift is not lost.
    """
    step = max((end - start) / _STEPS, INTERVAL)
    shown = [
        max(some, key=lambda each: (each.share_drifted, each.prediction_drifted, each.at))
        for _, some in groupby(
            (moment for moment in moments if start <= moment.at <= end),
            key=lambda moment: (moment.at - start) // step,
        )
    ]
    ends = [*(moment.at for moment in shown[1:]), end]
    return [
        Stretch(moment.at, min(until, moment.at + _LATE * step), moment)
        for moment, until in zip(shown, ends, strict=False)
    ]


def timeline(
    moments: Sequence[Moment],
    deployed: Sequence[datetime],
    firing: Sequence[Firing] | None,
    now: datetime,
    span: timedelta,
) -> Timeline:
    """Select what belongs to the last `span`.

    A younger history fills the chart; it shows a 24th of the span at least.
    """
    begin = now - span
    oldest = min((moment.at for moment in moments if moment.at >= begin), default=now)
    start = max(begin, min(oldest, now - span / 24))
    return Timeline(
        start,
        now,
        stretches(moments, start, now),
        [at for at in deployed if start <= at <= now],
        None
        if firing is None
        else [
            Firing(each.name, max(each.start, start), min(each.end, now))
            for each in firing
            if each.end >= start
        ],
    )
