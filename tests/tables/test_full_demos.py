"""From a file never seen before to a running stack by two commands: `make try-tables`.

Each table takes minutes, so nothing runs these tests but a person.
"""

import re
from pathlib import Path

import pytest
import requests

from mlstack.settings import ROOT
from tests.support.project_copy import ProjectCopy, project_copy
from tests.support.public_tables import BINARY, MULTICLASS, REGRESSION, PublicTable
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(1200)
TABLES = (BINARY[1], REGRESSION[1], MULTICLASS[2])


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_two_commands_bring_everything_up(table: PublicTable, tmp_path: Path) -> None:
    """Predictions, simulated customers, monitoring, a report and a drift that is detected."""
    file = tmp_path / f"{table.name}.csv"
    file.write_bytes(table.csv())
    (tmp_path / "project").mkdir()
    with project_copy(tmp_path / "project") as project:
        drafted = _make(project, "contract", DATA=str(file), TARGET=table.target)
        contract = f"contracts/{table.name}.yaml"
        assert f"make demo CONTRACT={contract} DATA_FILE={file}" in drafted
        project.variables |= {"SIMULATION_SECONDS": "5", "TRAIN_TRIALS": "5"}
        shown = _make(project, "demo", CONTRACT=contract, DATA_FILE=str(file))
        assert len(re.findall(r"-> (\{.*\})", shown)) == 5
        assert "no drift" in shown

        _simulators_are_answered(project)
        drift = _make(project, "demo-drift", env="embedded")
        assert "drift in the gauges" in drift
        (report,) = re.findall(r"a report is created .* (http\S+)", drift)
        assert requests.get(report, timeout=10).status_code == 200
        assert not (ROOT / contract).exists()


def _make(project: ProjectCopy, target: str, **variables: str) -> str:
    done = project.make(target, timeout=900, **variables)
    assert done.returncode == 0, done.stdout
    return done.stdout


def _simulators_are_answered(project: ProjectCopy) -> None:
    logs = project.folder / ".embedded" / "logs"

    def answered(name: str) -> bool:
        lines = (logs / f"{name}.log").read_text(encoding="utf-8")
        counts = re.findall(r"answered=(\d+) refused=(\d+)", lines)
        return any(int(got) and not int(refused) for got, refused in counts)

    for name in ("send_data-api", "send_data-kinesis"):
        wait_until(lambda name=name: answered(name), f"{name} is answered", 120)  # type: ignore[misc] # mypy#15459
