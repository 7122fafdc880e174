"""Percentiles of latencies."""

import math
from collections.abc import Sequence

from benchmarks.serving.results import Latencies


def latencies(seconds: Sequence[float]) -> Latencies:
    """Return the percentiles, in milliseconds, of durations in seconds (at least one)."""
    ordered = sorted(seconds)
    return Latencies(p50=percentile(ordered, 50) * 1000, p99=percentile(ordered, 99) * 1000)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return the smallest value that at least `percent` of the ascending values do not exceed."""
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]
