"""The log keeper as people run it: a process beside the servers of a state folder."""

from pathlib import Path

from mlstack.prediction_log.segment import Segment
from tests.support.service_process import ServiceProcess
from tests.support.waiting import wait_until


class LogKeeper(ServiceProcess):
    """The keeper of a state folder; see `ServiceProcess`."""

    def __init__(self, state: Path, **settings: str) -> None:
        super().__init__("mlstack.prediction_log.keeper", "KEEPER_METRICS_PORT", state, **settings)

    def metric(self, name: str, **labels: str) -> float:
        """Sum a metric's samples that have these labels, once it shows its metrics."""
        wait_until(self.answers, f"the keeper shows its metrics; {self.log}")
        return super().metric(name, **labels)


def leave(spool: Path, *entries: tuple[str, bytes], source: str = "api") -> Path:
    """Leave a closed segment with entries, as a server does."""
    segment = Segment.create(spool, source)
    for kind, body in entries:
        segment.append(kind, [body])
    segment.close()
    return segment.path
