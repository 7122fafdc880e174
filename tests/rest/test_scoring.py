"""`make score`: each row once, in output and prediction log, even if it is killed on the way."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import duckdb
import pandas as pd
import pytest

from mlstack.contract import Contract
from mlstack.contract.customer_schema import CustomerValidator
from mlstack.data import table_parts
from mlstack.data.dataset import clean, read_raw
from mlstack.data.table_files import table_content
from mlstack.deployment.record import DeploymentState
from mlstack.errors import DataError
from mlstack.failpoints import VARIABLE
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.prediction import is_prediction_id
from mlstack.prediction_log.segment import Segment
from mlstack.settings import ROOT, Settings
from operations.containers import scoring
from operations.scoring import remote
from operations.scoring.progress import Progress, ScoringError
from operations.scoring.remote import score_stream
from operations.scoring.score import score
from tests.support.models import keep_model, write_booster
from tests.support.raw_tables import raw_table
from tests.support.target_kinds import contract_of, contract_text, raw_rows, trained

RUN, OTHER = "a" * 32, "b" * 32
ROWS, PART = 60, 7


@pytest.fixture
def settings(tmp_path: Path, full: Contract, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(table_parts, "_ROWS", PART)
    settings = Settings(
        state_dir=tmp_path / "state", contract=Path("contracts/credit_card_churn_full.yaml")
    )
    for run in (RUN, OTHER):
        keep_model(settings.state_path, run, full, seed=1 if run == RUN else 2)
    DeploymentState(settings.state_path).write_record(RUN, "test")
    return settings


@pytest.fixture
def table(tmp_path: Path, full: Contract) -> Path:
    """A table without a target; its row 5 does not fit."""
    raw = raw_table(full, ROWS).drop(columns=full.target.raw)
    raw.loc[5, "Customer_Age"] = "17"
    raw.to_parquet(tmp_path / "table.parquet", index=False)
    return tmp_path / "table.parquet"


def run(settings: Settings, table: Path, out: Path) -> Progress:
    return score(settings, table, out, lambda _: None)


def spooled(settings: Settings) -> list[dict[str, Any]]:
    """Every prediction in the spool."""
    found = []
    for path in Segment.paths(settings.spool_path):
        segment = Segment(path, existing=True)
        found += [json.loads(entry.body) for entry in segment.read(10**6)]
        segment.abandon()
    return found


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_every_row_is_scored_once(
    settings: Settings, table: Path, tmp_path: Path, full: Contract
) -> None:
    """Output and log have the model's prediction; a row that does not fit has its reason."""
    out = tmp_path / "out.csv"
    progress = run(settings, table, out)
    assert (progress.scored, progress.rejected) == (ROWS - 1, 1)
    rows = read(out)
    assert [int(row["row"]) for row in rows] == [*range(1, 5), *range(6, ROWS + 1)]
    model = ModelStore.of(settings).load(RUN)
    raw = read_raw(table).frame().drop(index=5)
    raw[full.target.raw] = raw_table(full, ROWS)[full.target.raw].drop(index=5)
    expected = model.score_matrix(model.encoder.encode_frame(clean(raw, full))).tolist()
    assert [float(row["prediction"]) for row in rows] == expected
    kept = {str(document["_id"]): document for document in spooled(settings)}
    assert [kept[row["prediction_id"]]["prediction"] for row in rows] == expected
    assert len(kept) == ROWS - 1
    assert all(map(is_prediction_id, kept))
    assert {document["source"] for document in kept.values()} == {"batch"}
    [rejected] = read(tmp_path / "out.rejected.csv")
    assert rejected["row"] == "5"
    assert rejected["reason"].startswith("column 'Customer_Age': is out of range")
    left = {"out.csv", "out.rejected.csv", "state", "table.parquet"}
    assert {path.name for path in tmp_path.iterdir()} == left


def test_customers_are_those_of_a_request(settings: Settings, table: Path, tmp_path: Path) -> None:
    """A kept customer is valid as a request, and gets the same prediction."""
    run(settings, table, tmp_path / "out.csv")
    model = ModelStore.of(settings).load(RUN)
    validator = CustomerValidator(model.contract)
    for document in spooled(settings):
        given = {name: document[name] for name in model.contract.feature_names}
        customer = validator.validate(given)
        assert customer == given
        assert model.score([customer])[0].prediction == document["prediction"]


def test_parquet_output_has_types(settings: Settings, table: Path, tmp_path: Path) -> None:
    run(settings, table, tmp_path / "out.csv")
    (tmp_path / "other").mkdir()
    run(settings, table, tmp_path / "other" / "out.parquet")
    written = duckdb.read_parquet(str(tmp_path / "other" / "out.parquet"))
    assert [str(kind) for kind in written.types] == ["BIGINT", "VARCHAR", "DOUBLE"]
    expected = [
        (int(r["row"]), r["prediction_id"], float(r["prediction"]))
        for r in read(tmp_path / "out.csv")
    ]
    assert written.fetchall() == expected


@pytest.mark.parametrize(
    "place", ["rows_kept:3", "rows_written:3", "rows_written:1", "rows_complete"]
)
def test_killed_scoring_goes_on(
    settings: Settings, table: Path, tmp_path: Path, place: str
) -> None:
    """With the run that was deployed when it began; no row is missing or twice."""
    out = tmp_path / "out.csv"
    code = (
        "import sys; from pathlib import Path; from mlstack.settings import Settings;"
        "from mlstack.data import table_parts; from operations.scoring.score import score;"
        f"table_parts._ROWS = {PART};"
        "score(Settings.load(), Path(sys.argv[1]), Path(sys.argv[2]), print)"
    )
    environment = {
        **os.environ,
        VARIABLE: place,
        "STATE_DIR": str(settings.state_path),
        "CONTRACT": str(settings.contract),
    }
    killed = subprocess.run(
        [sys.executable, "-c", code, table, out], env=environment, cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    DeploymentState(settings.state_path).write_record(OTHER, "test")
    said: list[str] = []
    progress = score(settings, table, out, said.append)
    assert said[0].startswith("going on after row")
    assert (progress.scored, progress.rejected, progress.run_id) == (ROWS - 1, 1, RUN)
    assert [int(row["row"]) for row in read(out)] == [*range(1, 5), *range(6, ROWS + 1)]
    assert len(read(tmp_path / "out.rejected.csv")) == 1
    kept = {document["_id"]: document["model_run_id"] for document in spooled(settings)}
    assert kept == {row["prediction_id"]: RUN for row in read(out)}


def test_other_table_does_not_go_on(settings: Settings, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    Progress(table_sha256="0" * 64, run_id=RUN).save(tmp_path / "out.csv.progress")
    with pytest.raises(ScoringError, match="is about another table than"):
        run(settings, table, out)


def test_existing_output_is_not_replaced(settings: Settings, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")
    with pytest.raises(ScoringError, match="exists: remove it"):
        run(settings, table, out)
    assert out.read_text() == "mine"
    assert not list(tmp_path.glob("*.part"))


def test_nothing_deployed_is_said(settings: Settings, table: Path, tmp_path: Path) -> None:
    DeploymentState(settings.state_path).remove_record()
    with pytest.raises(ScoringError, match="nothing is deployed"):
        run(settings, table, tmp_path / "out.csv")


def test_table_of_another_contract_is_refused(settings: Settings, tmp_path: Path) -> None:
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(DataError, match=r"other.csv cannot be used: no column of the contract"):
        run(settings, tmp_path / "other.csv", tmp_path / "out.csv")
    assert not spooled(settings)


@pytest.mark.parametrize("sent", ["file", "folder"])
def test_container_scores_what_it_receives(
    settings: Settings, table: Path, tmp_path: Path, sent: str
) -> None:
    """A file, or a folder packed as one; results taken again are not scored again."""
    folder = tmp_path / "folder"
    folder.mkdir()
    shutil.copy(table, folder / "1.parquet")
    content = table_content(folder if sent == "folder" else table)
    place = score_stream(settings, "digest", ".csv", BytesIO(content))
    kept = len(spooled(settings))
    assert kept == ROWS - 1
    assert score_stream(settings, "digest", ".csv", BytesIO(b"")) == place
    assert len(spooled(settings)) == kept
    results = BytesIO()
    remote._send(place, results)
    results.seek(0)
    with tarfile.open(fileobj=results) as archive:
        assert archive.getnames() == ["scores.csv", "scores.rejected.csv"]


def test_results_of_a_container_are_put_beside_each_other(
    settings: Settings, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"

    class Compose:
        def call(self, *words: str, stdin: IO[bytes], stdout: IO[bytes]) -> Any:
            remote._send(score_stream(settings, words[0], words[1], stdin), stdout)
            return subprocess.CompletedProcess(words, 0)

    def prepare(_: str, __: Settings, module: str, arguments: list[str]) -> Any:
        assert module == "operations.scoring.remote"
        return Compose(), arguments

    monkeypatch.setattr(scoring, "prepare", prepare)
    scoring.score_in_container("local", settings, table, out)
    assert len(read(out)) == ROWS - 1
    assert len(read(tmp_path / "out.rejected.csv")) == 1
    assert not list(tmp_path.glob("*.part"))


def test_key_of_each_row_is_in_output_and_log(
    settings: Settings, table: Path, tmp_path: Path
) -> None:
    """Whatever it is written with; a row without a key is scored without, a long one refused."""
    contract = tmp_path / "contract.yaml"
    text = (ROOT / settings.contract).read_text()
    contract.write_text(f"{text}\nkey: {{name: customer_id, raw: CLIENTNUM}}\n")
    raw = pd.read_parquet(table)
    keys = [f'"{i}",\n' for i in range(ROWS)]
    keys[7:9] = ["", "x" * 256]
    raw.assign(CLIENTNUM=keys).to_parquet(table)
    out = tmp_path / "out.csv"
    run(settings.model_copy(update={"contract": contract}), table, out)
    rows = read(out)
    expected = {i + 1: keys[i].strip() for i in range(ROWS) if i not in (4, 8)}
    assert {int(row["row"]): row["customer_id"] for row in rows} == expected
    kept = {document["_id"]: document.get("_more", {}) for document in spooled(settings)}
    assert all(kept[row["prediction_id"]].get("key", "") == row["customer_id"] for row in rows)
    reasons = [row["reason"] for row in read(tmp_path / "out.rejected.csv")]
    assert reasons[1].startswith("column 'CLIENTNUM': is longer than 255 characters")


@pytest.mark.parametrize(
    ("kind", "more"), [("binary", "threshold: 0.4"), ("regression", ""), ("multiclass", "")]
)
def test_output_has_what_each_target_says(tmp_path: Path, kind: str, more: str) -> None:
    """Probability and decision, number, or class and probabilities: as the log has them."""
    contract = tmp_path / "contract.yaml"
    contract.write_text(f"{contract_text(kind)}\n{more}\n")
    settings = Settings(state_dir=tmp_path / "state", contract=contract)
    model = settings.state_path / "models" / RUN
    booster = trained(kind).best.booster
    assert booster is not None
    write_booster(model, booster, contract_of(kind), contract_text(kind))
    DeploymentState(settings.state_path).write_record(RUN, "test")
    raw_rows(kind, ROWS, seed=2).iloc[:, :3].to_csv(tmp_path / "t.csv", index=False)
    for name in ("out.csv", "out.parquet"):
        assert run(settings, tmp_path / "t.csv", tmp_path / name).scored == ROWS
    kept = {document["_id"]: document for document in spooled(settings)}
    for row in read(tmp_path / "out.csv"):
        document = kept[row["prediction_id"]]
        extra = document.get("_more", {})
        said = [document["prediction"]]
        said += [str(extra["decision"]).lower()] if more else extra.get("probabilities", [])
        assert list(row.values())[2:] == list(map(str, said))
    written = duckdb.read_parquet(str(tmp_path / "out.parquet"))
    last = {"binary": "BOOLEAN"}.get(kind, "DOUBLE")
    assert str(written.types[-1]) == last
    assert len(written.fetchall()) == ROWS
