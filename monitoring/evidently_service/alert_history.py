"""Read from Prometheus which alerts fired, and when."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from monitoring.evidently_service.alerts import ask_prometheus
from monitoring.evidently_service.timeline import Firing

Fired = Mapping[timedelta, Sequence[Firing]]
"""The alerts that fired in each span."""

_POINTS = 240
_NAME = "alertname"
_ROUNDING = timedelta(seconds=1)


def fired_alerts(prometheus: str, spans: Iterable[timedelta]) -> Fired:
    """Return what fired in each span up to now; raise AlertsUnknown.

    Times are exact to a 240th of the span; alerts that differ only in a label count as one.
    """
    now = datetime.now(UTC)
    return {span: _firing(prometheus, now, span) for span in spans}


def _firing(prometheus: str, now: datetime, span: timedelta) -> list[Firing]:
    step = int(span.total_seconds()) // _POINTS
    # An alert that fired between two points counts for the later one.
    fired = f'max_over_time(ALERTS{{alertstate="firing"}}[{step}s])'
    query = {
        "query": f"max by ({_NAME}) ({fired})",
        "start": (now - span).timestamp(),
        "end": now.timestamp(),
        "step": step,
    }
    found = [
        firing
        for series in ask_prometheus(prometheus, f"query_range?{urlencode(query)}")["result"]
        for firing in _periods(series["metric"][_NAME], series["values"], step)
    ]
    return sorted(found, key=lambda firing: firing.start)


def _periods(name: str, values: Sequence[tuple[float, str]], step: int) -> list[Firing]:
    """Join points that follow each other; each stands for the step before it."""
    found = list[Firing]()
    for second, _ in values:
        end = datetime.fromtimestamp(second, UTC)
        start = end - timedelta(seconds=step)
        if found and start - found[-1].end < _ROUNDING:
            start = found.pop().start
        found.append(Firing(name, start, end))
    return found
