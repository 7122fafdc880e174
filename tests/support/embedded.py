"""The stack as native processes, as make brings it up, in a project of its own."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import requests

from mlstack.data.dataset import read_raw
from mlstack.settings import ROOT
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.prometheus import Prometheus
from tests.support.real_data import real_table
from tests.support.stack import Stack
from tests.support.waiting import wait_until

_HELD_OUT_SHARE = 0.2
_BATCH = 500


class EmbeddedStack(Stack):
    """A stack of native processes."""

    environment = "embedded"

    def __init__(self, project: ProjectCopy, held_out: pd.DataFrame) -> None:
        super().__init__(project, Processes(project), held_out)
        self.prometheus = Prometheus(f"http://127.0.0.1:{project.port('PROMETHEUS_PORT')}")
        self.reports = f"http://127.0.0.1:{project.port('REPORTS_PORT')}"
        self.monitor = f"http://127.0.0.1:{project.port('EVIDENTLY_PORT')}"

    def report_outcomes(self) -> None:
        """Predict the customers that were left out, and report their outcomes."""
        outcomes = [
            {"prediction_id": answer["prediction_id"], "churned": bool(churned)}
            for answer, churned in zip(self.answers(), self.held_out["churned"], strict=True)
        ]
        for start in range(0, len(outcomes), _BATCH):
            batch = outcomes[start : start + _BATCH]
            answer = requests.post(f"{self.api}/feedback", json=batch, timeout=30)
            assert answer.status_code == 202, answer.text


class Processes:
    """Services under supervisord; see `tests.support.stack.Runtime`."""

    def __init__(self, project: ProjectCopy) -> None:
        self._project = project

    def kill(self, service: str) -> None:
        pid = self._project.pid(service)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        restarted = f"{service} is restarted"
        wait_until(lambda: self._project.pid(service) not in (None, pid), restarted)

    def is_ready(self, service: str) -> bool:
        status = self._project.supervise("status").stdout
        return bool(re.search(rf"^{service}\s.*\byes\b", status, re.MULTILINE))


def split_table(folder: Path) -> tuple[Path, pd.DataFrame]:
    """Write a raw table for a stack to train on; return it and the rows that were left out.

    It is part of the real table where that is at hand, else of the synthetic sample.
    """
    raw = read_raw(real_table() or ROOT / "contracts" / "credit_card_churn_sample.csv").frame()
    held_out = raw.sample(frac=_HELD_OUT_SHARE, random_state=1)
    table = folder / "customers.csv"
    raw.drop(index=held_out.index).to_csv(table, index=False)
    return table, held_out


@contextmanager
def embedded_stack(folder: Path) -> Iterator[EmbeddedStack]:
    """Make a stack that is not started yet; at the end everything of it is ended."""
    table, held_out = split_table(folder)
    (folder / "project").mkdir()
    with project_copy(folder / "project") as project:
        project.variables["DATA_FILE"] = str(table)
        yield EmbeddedStack(project, held_out)
