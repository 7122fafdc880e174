"""`make predictions KEY=...` lists what was said of a customer, newest first."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import encode

from mlstack.contract import Contract
from mlstack.errors import SettingsError
from mlstack.prediction_log.entry import PREDICTION
from mlstack.prediction_log.kept_predictions import SPOOLED, STORED, KeptPredictions
from mlstack.prediction_log.mongo_sink import MongoSink
from mlstack.settings import Settings
from operations import predictions
from tests.support.every_kind import TEXT
from tests.support.keeper import leave

KEYED = TEXT.replace("features:", "key: {name: parcel_no}\nfeatures:", 1)


@pytest.fixture
def contract_file(tmp_path: Path, mongo: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "parcels.yaml"
    file.write_text(KEYED)
    monkeypatch.setenv("CONTRACT", str(file))
    monkeypatch.setenv("MONGO_URI", mongo)
    return file


def listed(key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr("sys.argv", ["predictions", key])
    predictions.main()
    return capsys.readouterr().out


def test_predictions_of_a_key_are_listed_newest_first(
    contract_file: Path,
    mongo: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With answer, outcome, id and run; other customers' are not."""
    assert Contract.load(contract_file).key
    sink = MongoSink(mongo)
    sink.prepare()
    for day, key in ((1, "P-7"), (2, "P-7"), (3, "P-8")):
        sink.store_predictions(
            [
                {
                    "_id": f"id-{day}",
                    "prediction": day / 10,
                    "model_run_id": "run",
                    "contract": {"name": "parcels", "hash": "h"},
                    "source": "api",
                    "created_at": datetime(2026, 1, day, tzinfo=UTC).isoformat(),
                    "_more": {"key": key} | ({"decision": True} if day == 2 else {}),
                }
            ]
        )
    sink.store_outcomes([{"_id": "id-1", "target": 1, "target_at": "2026-01-05T00:00:00+00:00"}])
    sink.close()
    lines = [line.split("  ") for line in listed("P-7", monkeypatch, capsys).splitlines()]
    cells = [[cell.strip() for cell in line if cell.strip()] for line in lines]
    assert cells == [
        ["when (UTC)", "return chance", "decision", "returned", "prediction id", "run", "from"],
        ["2026-01-02 00:00:00", "0.2", "yes", "not known", "id-2", "run", "api"],
        ["2026-01-01 00:00:00", "0.1", "-", "1", "id-1", "run", "api"],
    ]
    assert listed("P-9", monkeypatch, capsys) == "there is no prediction of parcel_no 'P-9'\n"


def test_newest_prediction_of_a_key_may_be_in_the_spool(mongo: str, tmp_path: Path) -> None:
    """Whatever the key looks like in JSON; what is stored already counts once."""
    settings, key = Settings(mongo_uri=mongo, state_dir=tmp_path), 'Ä"7\\'
    sink, documents = MongoSink(mongo), dict[int, Any]()
    for day in (1, 2, 3):
        documents[day] = {
            "_id": f"id-{day}",
            "prediction": day / 10,
            "model_run_id": f"run {day}",
            "contract": {"name": "parcels", "hash": "h"},
            "created_at": datetime(2026, 1, day, tzinfo=UTC).isoformat(),
            "_more": {"key": key},
        }
    sink.store_predictions([documents[1], documents[2]])
    sink.close()
    kept = KeptPredictions(settings)

    def newest() -> tuple[str, str]:
        found = kept.newest("parcels", key)
        assert found is not None
        return found.document["_id"], found.place

    leave(settings.spool_path, *((PREDICTION, encode(documents[day])) for day in (1, 2)))
    assert newest() == ("id-2", STORED)
    leave(settings.spool_path, (PREDICTION, encode(documents[3])), (PREDICTION, b"no JSON"))
    assert newest() == ("id-3", SPOOLED)
    assert kept.newest("parcels", "7") is None


def test_contract_without_a_key_is_said(
    contract_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contract_file.write_text(TEXT)
    with pytest.raises(SettingsError, match="names no key"):
        listed("P-7", monkeypatch, capsys)
