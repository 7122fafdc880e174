"""The tutorial with a public table, command by command."""

import csv
import shlex
from pathlib import Path

import pytest

from mlstack.settings import ROOT
from tests.support.project_copy import project_copy
from tests.support.public_tables import PublicTable
from tests.support.readme import commands_of

TABLE = PublicTable("modeldata", "mlc_churn", "churn", "binary")
TUTORIAL = commands_of(ROOT / "docs" / "your_own_table.md")


@pytest.mark.timeout(900)  # a busy machine takes long to start everything
def test_tutorial_commands_work(tmp_path: Path) -> None:
    """From a file to predictions of all its rows; what the user owns stays at the end."""
    download, *commands = TUTORIAL
    assert download.startswith("curl")
    assert f"/{TABLE.package}/{TABLE.item}.csv" in download
    table = TABLE.csv()
    with project_copy(tmp_path) as project:
        project.variables["TRAIN_TRIALS"] = "3"
        (project.folder / f"{TABLE.item}.csv").write_bytes(table)
        for command in commands:
            make, *words = shlex.split(command)
            done = project.make(*words, timeout=600)
            assert (make, done.returncode) == ("make", 0), done.stdout
        scores = (project.folder / "scores.csv").read_text(encoding="utf-8")
        assert len(list(csv.reader(scores.splitlines()))) == len(table.splitlines())
        assert (project.folder / "contracts" / f"{TABLE.item}.yaml").exists()
